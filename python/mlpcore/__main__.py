"""``python -m mlpcore``: see `mlpcore.cli`."""

import sys

from mlpcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
