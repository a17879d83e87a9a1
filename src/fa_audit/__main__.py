"""`python -m fa_audit`: the command line."""

import sys

from fa_audit.cli import main

sys.exit(main())
