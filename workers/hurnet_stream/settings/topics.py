"""[topics.NAME]: topics that ingest reads beside the topic of texts, and what their records say.

A table for each topic. It stands in the settings file alone, since the environment has no tables:

    [topics.tickets]
    format = "json"
    text = "value.subject"             expressions, by which a part of the record is found
    answer = "value.resolution.text"
    key = "value.id"
    metadata.product = "value.product"
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from hurnet_schemas.base import MAX_METADATA_ITEMS, MAX_TEXT, MetadataKey
from hurnet_stream.settings.expressions import parsed
from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Unit


def _right(expression: str) -> str:
    if expression:
        parsed(expression)
    return expression


Expression = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_right)]
"""In JMESPath, over {value, key, headers, topic, partition, offset, timestamp, envelope}. "" if there is
none."""


class TopicSettings(Section):
    """What the records of one topic are, and where in them a text and what belongs to it are found."""

    format: Literal["hurnet", "json", "text", "avro", "protobuf", "json-schema"] = Field(
        "json",
        description="What a value is: hurnet's own messages; JSON of any shape; a plain text in UTF-8; or "
        "what a schema of the registry describes.",
    )
    envelope: Literal["", "cloudevents", "debezium"] = Field(
        "",
        description="What the value is wrapped in. Of Debezium's envelope the row after the change is the "
        "value, and the row of a deletion deletes by its key.",
    )
    text: Expression = Field("", description="Where the text is. A plain text is its own.")
    answer: Expression = Field("", description="Where the answer is. Without one a text is its own answer.")
    context: Expression = Field(
        "", description="Where the name of the context is; 'NAME' in single quotes is that name for all."
    )
    key: Expression = Field("", description="Where the key is. Default: the key of the record.")
    weight: Expression = Field("", description="Where the weight is, 1 to 1,000.")
    timestamp: Expression = Field(
        "",
        description="Where the time is: milliseconds since 1970, or as in 2026-11-28T12:00:00Z. Default: the "
        "time of the record.",
    )
    metadata: Annotated[dict[MetadataKey, Expression], Field(max_length=MAX_METADATA_ITEMS)] = Field(
        default_factory=dict, description="Where each of the metadata is."
    )
    when: Expression = Field(
        "", description="Which records are taken: those for which this is true. Default: all."
    )
    keys: Literal["", "upsert", "append"] = Field(
        "",
        description="Whether a text takes the place of what came under its key before. Default: as in "
        "[ingest].",
    )
    chunk: Annotated[int, Unit("characters")] = Field(
        0,
        ge=0,
        le=MAX_TEXT,
        description="The most characters of a chunk. Longer texts are cut into chunks, each of which is an "
        "entry. 0: texts stay whole.",
    )
    writable: bool = Field(
        False,
        description="Whether hurnet may write deletions to the topic, so that `hurnet forget` reaches its "
        "texts.",
    )
