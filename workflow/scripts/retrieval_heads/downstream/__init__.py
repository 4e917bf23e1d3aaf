"""Tasks asked under head masks, scored and compared (docs/downstream.md)."""
