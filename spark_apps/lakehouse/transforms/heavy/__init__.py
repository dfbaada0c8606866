"""Decoding and fold on Spark's executors, for data too large for one process.

Takes and returns DataFrames of classic or Connect sessions, on one machine or a cluster. Rows go to Python workers as Arrow; the workers
run `transforms.records` and `transforms.history`, so `lakehouse` must be importable there.
"""
