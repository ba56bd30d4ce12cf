"""phlows tail on a terminal: state, keys, painting, and the loop around them."""
