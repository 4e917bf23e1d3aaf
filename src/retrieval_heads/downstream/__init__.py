"""Benchmark tasks answered under head masks, scored and compared."""
