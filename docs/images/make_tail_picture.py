"""Draw docs/images/tail.svg: phlows tail beside a busy broker.

Run it from anywhere, in the environment of the tests: it takes their lively state.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(path: Path) -> None:
    """Write the picture, the same each time."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    sys.path.insert(0, str(HERE.parents[1]))
    from phlows_cli.cli.tui.picture import svg
    from tests.cli.tui.lively import lively

    state = lively(120, 30)
    state.select(4)
    state.settle()
    path.write_text(svg(state, "phlows tail"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "tail.svg")
