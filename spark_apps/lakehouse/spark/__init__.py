"""How Spark processes are built, submitted and asked: sessions, spark-submit lines, streaming queries, SQL over Thrift."""
