"""The command line: python -m lakehouse, and what spark-submit runs."""
