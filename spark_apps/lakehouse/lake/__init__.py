"""EBAP's tables in the lake: reads, writes, catalog, compaction, and the state of each table."""
