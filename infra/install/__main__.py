"""`python infra/install [dev | notebook | metabase | doctor | home]`, by the machine's own Python, in which nothing is installed."""

import sys
from pathlib import Path

if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    # A folder that is run as a program is the first place for imports: its modules are found by their full names instead.
    sys.path[:1] = [str(project / "spark_apps"), str(project)]
    from infra.install import parts

    sys.exit(parts.main(sys.argv[1:]))
