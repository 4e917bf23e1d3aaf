"""Head sets, attention heads switched off, and the needle test under head masks."""
