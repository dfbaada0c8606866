"""Answers to SQL over the lake for pages: DuckDB over the lake's files in the page's own process, Spark over Thrift where that cannot be."""
