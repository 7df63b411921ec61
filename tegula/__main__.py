"""``python -m tegula``: the same as the command ``tegula``."""

import sys

from tegula.cli import main

sys.exit(main())
