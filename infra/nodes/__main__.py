"""`python infra/nodes`: runs on any machine with Python, without an installation."""

import sys
from pathlib import Path

if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    # Python puts a folder that is run as a program first on the import path; modules are imported by full name instead.
    sys.path[:1] = [str(project / "spark_apps"), str(project)]
    from infra.nodes import by_hand

    sys.exit(by_hand.main())
