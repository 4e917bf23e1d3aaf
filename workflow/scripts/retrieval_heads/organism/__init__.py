"""The organism: a small Llama that the project trains from nothing, on text that the project generates."""
