"""A checkpoint on disk: which files decide its answers, whether they are whole, and what loads from them."""
