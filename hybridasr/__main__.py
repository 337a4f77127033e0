"""Runs the command line: ``python -m hybridasr``."""

import sys

from hybridasr.cli import main

sys.exit(main())
