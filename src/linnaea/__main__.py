"""`python -m linnaea` is the command `linnaea`."""

import sys

from linnaea.cli import main

sys.exit(main())
