"""From fetched bytes to records, without trust: a producer, a disk or a network may have written anything.

batches     where each batch of a fetch begins and ends, and what its header says
codecs      gzip, snappy, lz4 and zstd, up to a limit
records     the records of a batch, each with its key, value and headers
legacy      the same for batches of Kafka's formats 0 and 1
fields      numbers and byte strings inside a record
"""
