"""A WebSocket client for people: `phlows connect`."""
