"""Texts stream in through Kafka; questions are answered from all of them by exact similarity."""
