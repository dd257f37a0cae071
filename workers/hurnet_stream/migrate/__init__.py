"""Filling a second generation of a store, whose embedder is another one, from the texts of the first."""
