"""`python -m faceskd`: the same as the command `faceskd`."""

import sys

from faceskd.cli import main

if __name__ == "__main__":
    sys.exit(main())
