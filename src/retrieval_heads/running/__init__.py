"""What a job needs: finished cells, GPU locks, logs, digests of code, provenance, redaction."""
