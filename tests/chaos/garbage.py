"""`phlows serve` that tells, at each SIGUSR2, what only the garbage collector would find.

python -m tests.chaos.garbage serve --config phlows.toml
"""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter

from phlows_cli.__main__ import main


def tell(*_):
    """Say how much was left since the last time, and of which kinds."""
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    kinds = Counter(type(left).__qualname__ for left in gc.garbage)
    sys.stderr.write(f"LEFT {len(gc.garbage)} {dict(kinds.most_common(20))}\n")
    sys.stderr.flush()
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, tell)
    sys.exit(main())
