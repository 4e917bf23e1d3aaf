"""What is wrong with a config and with the files that it names, one sentence a fault."""
