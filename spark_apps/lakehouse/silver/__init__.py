"""Silver: current rows and full history of each source table; small increments in process, large ones by Spark."""
