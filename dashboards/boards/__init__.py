"""The boards as a web page, for use without Metabase: `python -m dashboards.boards`."""
