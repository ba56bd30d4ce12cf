"""The centre: who is connected, and what their events mean."""
