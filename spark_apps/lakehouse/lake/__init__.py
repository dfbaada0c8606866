"""EBAP's tables in the lake: reading, writing and describing them, and how far each is."""
