"""The command line: `python -m lakehouse`, and the entry point of scripts under spark-submit."""
