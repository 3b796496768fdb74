"""`python -m demist`."""

import sys

from demist.cli import main

if __name__ == "__main__":
    sys.exit(main())
