"""Forgetting a person: out of every table, every file and whatever arrives later."""
