"""Register schemas, tables and views in the catalog, with every comment, from the declarations.

Runs: at each start of the platform, over the warm server; by spark-submit too. Safe to run again: it creates what is missing
and brings views and comments up to the declarations.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("publish")
