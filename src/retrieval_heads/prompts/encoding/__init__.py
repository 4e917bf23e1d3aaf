"""Texts and conversations in the tokens of one model: plain text stays text, chats go through its template."""
