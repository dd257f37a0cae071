"""Forwarding the topic of texts to one with another number of partitions, each record once."""
