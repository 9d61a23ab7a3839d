"""``python -m rgru_codec.cli``: the command ``rgru`` without an installation."""

import sys

from rgru_codec.cli import main

if __name__ == "__main__":
    sys.exit(main())
