"""Health of the platform: age and state of each table, stalled stages, and catch-up."""
