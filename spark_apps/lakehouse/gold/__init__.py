"""Gold: each table and view is a SELECT in Spark's dialect; DuckDB computes small changes, Spark large ones."""
