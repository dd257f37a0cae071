"""The solver: exact statistics of everything in the store, and the weights solved from them."""
