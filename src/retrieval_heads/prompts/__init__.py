"""Haystacks, needles and the prompts made of them, in tokens; recall of an answer in a response."""
