"""Delta tables without Spark, by the Delta protocol: their log, their rows, and commits to them."""
