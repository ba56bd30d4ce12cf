"""Tests in a real browser; a package, so that one browser serves them all and then ends."""
