"""Answers and the offsets of their queries, sent together."""
