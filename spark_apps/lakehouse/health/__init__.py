"""How the platform is: age and state of each table, what is stalled, and whether everything has arrived."""
