"""EBAP: from the changes of a Postgres database to bronze, silver and gold."""
