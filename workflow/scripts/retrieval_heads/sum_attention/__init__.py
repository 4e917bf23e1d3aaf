"""General retrieval heads by attention sum, over facts of made-up records (docs/sum_attention.md)."""
