"""`python -m phlows_cli`, and where the `phlows` command begins."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from phlows_cli.cli.main import cli

    try:
        cli.main()
    finally:
        _end_by_signal()


def _end_by_signal() -> None:
    """Let Ctrl-C end Python's own exit, which would show a traceback of it."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
