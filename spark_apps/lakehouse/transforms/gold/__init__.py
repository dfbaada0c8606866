"""The SQL of gold tables and views, in Spark's dialect."""
