"""The Postgres that is followed, and the connector that reads it: preflight, configuration, schema changes, new snapshots."""
