"""The lake's Delta tables without Spark: their log, their rows, and commits to them, by the Delta protocol."""
