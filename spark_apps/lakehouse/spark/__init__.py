"""Spark processes: sessions, spark-submit lines, streaming queries, and SQL over Thrift."""
