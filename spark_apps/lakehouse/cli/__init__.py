"""The command line: `python -m lakehouse`, and the entry point of what spark-submit runs."""
