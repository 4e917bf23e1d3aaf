"""Files of head scores, one module a format, each with `read` and `write`."""
