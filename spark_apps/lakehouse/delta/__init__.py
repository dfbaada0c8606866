"""Delta tables without Spark, by the Delta protocol: log, reads and commits."""
