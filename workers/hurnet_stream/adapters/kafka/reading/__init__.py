"""Consumers. Each is made by `consumer`, and so unpacks by `fetching` and not by kafka-python.

source           KafkaSource: a member of a group, on one topic or on several
assignment       which partitions the group gave it, and which of them still have no position
commits          what the group has committed
epochs           is what was read still in the log?
contact          do the brokers still answer?
ends             how far the topic reaches, asked by another thread
single_records   one record of each partition
history          KafkaHistory: a topic from its beginning, apart from any group
"""
