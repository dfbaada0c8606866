"""The boards and their questions, as files that Metabase and the page of our own are both made from."""
