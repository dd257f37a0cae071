"""Every metric of every worker, with its meaning and its unit (seconds, bytes, records, rows).

A role has a module here, made of parts that roles share: `process` (all of them), `kafka` (who reads a
topic), `transactions` (who writes in them), `store` (who works with the store), `context` (who holds contexts
and weights). `table` lists all.
"""
