"""A study in one file with its provenance, checked and unpacked again; cells as JSON lines."""
