"""`python infra/nodes`, on any machine with Python: a laptop has nothing installed."""

import sys
from pathlib import Path

if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    # A folder that is run as a program is the first place for imports: its modules are found by their full names instead.
    sys.path[:1] = [str(project / "spark_apps"), str(project)]
    from infra.nodes import by_hand

    sys.exit(by_hand.main())
