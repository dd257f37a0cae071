"""Producers.

sink        KafkaSink: returns once all in-sync replicas have acknowledged
producers   what it has in common with the transactional producer
refusals    which message or topic is to blame when sending fails
"""
