"""The name of `python -m lakehouse topics` in the release before."""

import sys

from lakehouse.cli import main

if __name__ == "__main__":
    main.renamed("python -m infra.kafka", "python -m lakehouse topics")
    sys.exit(main.main(["topics", *sys.argv[1:]]))
