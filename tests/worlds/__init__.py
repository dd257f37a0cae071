"""Small systems over the in-memory twins, which several test files share.

ingest       a broker, a store, and ingest workers between them
solver       a store, and solvers at it
responder    a broker, a store, and responders between them
deleting     all three, of which records are deleted
verifying    the proof that a store is what its topic says
"""
