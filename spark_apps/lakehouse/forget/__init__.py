"""Erasure of a person: from every table and file, and from records that arrive later."""
