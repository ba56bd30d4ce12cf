"""phlows: a realtime broker and command-line toolkit for PHP and Python apps."""

__version__ = "0.1.0"
