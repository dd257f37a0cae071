"""Ingest: texts from Kafka are validated, embedded and appended to the store, each exactly once."""
