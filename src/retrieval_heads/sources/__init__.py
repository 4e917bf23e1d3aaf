"""Where models and texts come from: the hub, packages of the index, GGUF files, folders of text files."""
