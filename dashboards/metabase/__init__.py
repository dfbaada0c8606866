"""Boards and their questions as files, from which Metabase and the boards' page are both built."""
