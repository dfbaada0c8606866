"""SQL over the lake for pages: DuckDB over its files in the page's process, Spark over Thrift where that is not possible."""
