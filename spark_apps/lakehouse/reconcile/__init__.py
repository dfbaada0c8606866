"""Reconciliation: silver compared with a snapshot of the source, row by row, and its repair."""
