"""The name of `python -m lakehouse capture` in the release before."""

import sys

from lakehouse.cli import main

if __name__ == "__main__":
    main.renamed("python -m infra.capture", "python -m lakehouse capture")
    sys.exit(main.main(["capture", *sys.argv[1:]]))
