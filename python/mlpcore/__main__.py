"""``python -m mlpcore``: see `mlpcore.cli`."""

import sys


def _main() -> int:
    try:
        from mlpcore.cli import main  # here, for Ctrl-C may come while it is imported

        return main()
    except KeyboardInterrupt:
        print("mlpcore: interrupted", file=sys.stderr)
        return 130  # as shells report a death by SIGINT


if __name__ == "__main__":
    sys.exit(_main())
