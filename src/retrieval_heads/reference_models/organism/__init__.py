"""The organism: a small Llama that the project trains on text that it generates."""
