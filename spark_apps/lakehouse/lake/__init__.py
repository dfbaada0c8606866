"""The lake's Delta tables without Spark, by the Delta protocol: their log, their rows, commits to them; and the state of tables."""
