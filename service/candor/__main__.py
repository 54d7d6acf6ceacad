"""`python -m candor` is the command `candor`."""

import sys

from candor.cli import main

sys.exit(main())
