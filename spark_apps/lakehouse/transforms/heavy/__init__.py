"""The same decoding and the same fold on Spark's executors, for what is too large for one process.

DataFrames in, DataFrames out, on classic and on Connect sessions, on one machine or a cluster: rows go to Python workers as Arrow, in
which `transforms.records` and `transforms.history` do all that decides. Workers import `lakehouse`, so that it must be on their path.
"""
