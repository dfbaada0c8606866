"""SQL over the lake for pages: DuckDB over its files in the page's own process, Spark over Thrift where that cannot be."""
