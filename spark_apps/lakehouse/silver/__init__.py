"""Silver: what bronze landed becomes each source table's history, in this process where it is little."""
