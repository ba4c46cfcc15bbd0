"""`python -m cornu` is the command `cornu`."""

import sys

from cornu.cli import main

sys.exit(main())
