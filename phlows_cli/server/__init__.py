"""The asyncio side: sockets, the bridge, deadlines."""
