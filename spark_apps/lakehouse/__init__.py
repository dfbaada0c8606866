"""EBAP: from the changes of a Postgres to bronze, silver and gold. Imports nothing of the project outside this package."""
