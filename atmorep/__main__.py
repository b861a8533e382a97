"""``python -m atmorep``."""

import sys

from atmorep.cli import main

sys.exit(main())
