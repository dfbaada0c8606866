"""Silver: the current row and the whole history of each source table; small increments in process, large ones by Spark."""
