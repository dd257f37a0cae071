"""The client library: ask, teach, correct and forget, over Kafka or over HTTP.

switchboard     questions and records under way over Kafka, and the futures that wait for them
"""
