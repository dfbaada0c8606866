"""Erasure of a person: from every table and file, and from whatever arrives later."""
