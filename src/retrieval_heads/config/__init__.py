"""The config of a study: read, spelt out, checked against its schema and against the files that it names."""
