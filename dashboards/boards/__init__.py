"""The boards as a page of our own, for where there is no Metabase: `python -m dashboards.boards`."""
