"""`python -m phlows_cli`, and where the `phlows` command begins."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from phlows_cli.cli.main import cli

    cli.main()


if __name__ == "__main__":
    main()
