"""The load generator of `phlows bench`: it counts every message it causes."""
