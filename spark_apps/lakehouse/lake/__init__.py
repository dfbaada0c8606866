"""The lake's files and the state of its tables, read and written without Spark."""
