"""The source Postgres and the connector that reads it: preflight, configuration, schema changes, snapshots."""
