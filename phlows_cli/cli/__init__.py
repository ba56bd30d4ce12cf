"""The `phlows` command."""
