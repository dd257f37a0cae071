"""Answers and the offsets of their queries, committed together.

transactional   exactly once, by Kafka transactions; what happens when a broker goes away in the middle
producer        the producer under it, whose every wait ends
at_least_once   without transactions: faster, and a crash may give some answers twice
backfill        very many texts, with a note of how far they are written
atomic          messages together or not at all, without offsets
answering       what both know of the topics that clients name
"""
