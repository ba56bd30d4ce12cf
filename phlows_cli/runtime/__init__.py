"""How an app is called."""
