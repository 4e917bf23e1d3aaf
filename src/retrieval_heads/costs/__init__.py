"""Memory, 80 GB cards, tokens and hours of a study, from the config and the architectures alone."""
