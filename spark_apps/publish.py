"""Register schemas, tables and views in the catalog, with every comment, from the declarations.

Runs: at each start of the platform, on the warm server; by spark-submit too. Safe to run again: it creates what is missing
and updates views and comments to the declarations.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("publish")
