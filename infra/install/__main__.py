"""`python infra/install [dev | notebook | start | live | metabase | doctor | home]`, for the machine's own Python without packages."""

import sys
from pathlib import Path

if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    # A folder that is run as a program is first on the import path: replaced, so that modules are found by their full names.
    sys.path[:1] = [str(project / "spark_apps"), str(project)]
    from infra.install import parts

    sys.exit(parts.main(sys.argv[1:]))
