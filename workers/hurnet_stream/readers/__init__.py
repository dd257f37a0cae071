"""What a record of any topic says: from the bytes of its format to an entry, by a table of the settings.

    bytes ─ format ─▶ value ─ envelope ─▶ value ─ expressions ─▶ text, answer, context, ... ─▶ entry

    formats.py      JSON, plain text               wire.py         the id of a schema before the bytes
    avro.py, protobuf.py, json_schema.py           schemas.py      what reads by a schema, kept by its id
    envelopes.py    CloudEvents, Debezium          expressions.py  where in a value a part is
    values.py       what counts as a text, a time  tables.py       all parts of one record
    reader.py       the reader of one topic        making.py       the readers of all topics

A record is input from anybody. Whatever is in it or in the schema that it names, its reader returns or raises
`InvalidMessage`, within bounds of time, depth and memory. It raises `TransientError` while the registry does
not answer.
"""
