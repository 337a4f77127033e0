"""Runs the command line: ``python -m hybridasr.cli``."""

import sys

from hybridasr.cli import main

sys.exit(main())
