"""A study in one file, checked and unpacked again (docs/archive.md)."""
