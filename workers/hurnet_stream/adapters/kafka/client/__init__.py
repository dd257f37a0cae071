"""How a client of Kafka is made, and what its errors mean.

connection   `connect`, which makes every consumer, producer and admin client
arguments    settings as kafka-python's arguments
pinned       a client that talks to one cluster only
probe        why no broker could be connected to
errors       kafka-python's errors as ours
internals    kafka-python's private names that we use, each with its reason
"""
