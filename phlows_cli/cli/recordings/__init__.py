"""Recordings: written from a broker, read, played to an app, compared."""
