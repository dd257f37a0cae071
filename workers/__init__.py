"""hurnet-stream: texts in from Kafka, an exact and unbounded context in Redis, answers out by argmax."""
