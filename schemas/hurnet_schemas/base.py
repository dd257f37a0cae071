"""What all messages share: a schema version, limits, strict reading, and errors that name the field."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, from_json
from typing_extensions import override

from hurnet_schemas import places
from hurnet_schemas.places import Place, ShardName

SCHEMA_VERSION = 1
MAX_TEXT = 16_384
"""Characters."""
MAX_METADATA_ITEMS = 32
MAX_WEIGHT = 1_000
MAX_REASON = 500
"""Characters."""
MAX_FIELDS = 64
"""More fields than any message has, in one object."""
MAX_FAULTS = 20
DEFAULT_CONTEXT = "default"

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def shortened(text: str, length_max: int = MAX_REASON) -> str:
    """`text` in at most `length_max` characters. Lone surrogates, which UTF-8 can't carry, become "?"."""
    cut = text if len(text) <= length_max else text[: length_max - 1] + "…"
    return cut.encode("utf-8", "replace").decode()


Explanation = Annotated[str, BeforeValidator(lambda text: shortened(text) if isinstance(text, str) else text)]
"""For a person to read. It often quotes a client or an exception, so characters that are wrong are replaced,
and nothing is refused."""

InvalidReason = Literal[
    "unreadable",
    "too-large",
    "tombstone",
    "not-utf8",
    "not-json",
    "unknown-version",
    "invalid-message",
    "blank-text",
    "too-long",
]


class InvalidMessage(ValueError):
    """Bytes are not a valid message. `reason` is one of `InvalidReason`, `detail` is for a person and has at
    most `MAX_REASON` characters. `faults` are the first `MAX_FAULTS` wrong fields, each with its fault."""

    def __init__(self, reason: InvalidReason, detail: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        detail = shortened(detail)
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.faults = faults


def printable(text: str) -> str:
    """Refuses lone surrogates and control characters, except tabs and line ends, which texts do have."""
    if control := _CONTROL.search(text):
        raise ValueError(f"control character U+{ord(control.group()):04X} is not allowed")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"lone surrogate at character {error.start} is not text") from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("blank text")
    return text


Text = Annotated[
    str, StringConstraints(max_length=MAX_TEXT), AfterValidator(printable), AfterValidator(_not_blank)
]
ContextName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(printable)]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
MetadataValue = Annotated[str, StringConstraints(max_length=1_024), AfterValidator(printable)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA_ITEMS)]


def _whole(value: object) -> object:
    """3.0 is an integer to JSON Schema, and so to our documents, but not to a strict reader of pydantic."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Partition = Annotated[Whole, Field(ge=0, le=places.PARTITION_MOST)]
Offset = Annotated[Whole, Field(ge=0, le=places.OFFSET_MOST)]
Topic = Annotated[str, StringConstraints(pattern=f"^{places.TOPIC}$")]
_PARTITION = TypeAdapter[int](Partition)


def _shard(name: object) -> ShardName:
    """A shard as the key of an object: "2", or "tickets/3"."""
    return places.shard(name) if isinstance(name, str) and "/" in name else _PARTITION.validate_python(name)


Shard = Annotated[ShardName, PlainValidator(_shard, json_schema_input_type=str)]
Watermarks = Annotated[dict[Shard, Offset], Field(max_length=4_096)]


class Message(BaseModel):
    """A message on a topic: immutable, with a schema version, written as JSON in UTF-8.

    Unknown fields are errors, so that a client that misspells a field is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", hide_input_in_errors=True)

    v: Literal[1] = Field(1, description="The version of this schema.")

    @classmethod
    def decode(cls, raw: bytes | None) -> Self:
        """The message in `raw`. Raises `InvalidMessage` with the reason; None, a record without a value, is
        one."""
        if raw is None:
            raise InvalidMessage("tombstone", "the record has no value")
        return cls.of_fields(parse_object(raw))

    @classmethod
    def of_fields(cls, fields: dict[str, Any], *, exact: bool = False) -> Self:
        """The message of these fields of a JSON object. Raises `InvalidMessage`.

        If it is `exact`, "3" and true are no numbers. In records they are, since what was taken once must be
        read alike when it is read again."""
        if len(fields) > MAX_FIELDS:  # each unknown field would become an error of its own
            raise InvalidMessage("invalid-message", f"{len(fields)} fields, and no message has {MAX_FIELDS}")
        version = fields.get("v", SCHEMA_VERSION)
        if type(version) is not int or version != SCHEMA_VERSION:
            told = f"schema version {version!r:.40}; this side speaks {SCHEMA_VERSION}"
            raise InvalidMessage("unknown-version", told, (("v", told),))
        try:
            return cls._read(fields, exact)
        except ValidationError as error:
            raise _explain(error, cls.model_fields) from None

    @classmethod
    def _read(cls, fields: dict[str, Any], exact: bool) -> Self:
        return cls.model_validate(fields, strict=exact or None)  # False would undo what fields say themselves

    def encode(self) -> bytes:
        """JSON in UTF-8, without fields that are None."""
        return self.model_dump_json(exclude_none=True).encode()


class OwnMessage(Message):
    """A message that hurnet itself writes. Readers pass over fields that they do not know, at any depth.

    So a newer hurnet may add fields. `v` changes only if an older reader would misunderstand a message."""

    @classmethod
    @override
    def _read(cls, fields: dict[str, Any], exact: bool) -> Self:
        return cls.model_validate(fields, strict=exact or None, extra="ignore")

    @classmethod
    @override
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        schema = super().model_json_schema(*args, **kwargs)
        for part in (schema, *schema.get("$defs", {}).values()):
            part.pop("additionalProperties", None)
        return schema


class Part(BaseModel):
    """An object inside a message: immutable, and with the version of its message."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", hide_input_in_errors=True)

    def encode(self) -> bytes:
        """The bytes that it takes in its message."""
        return self.model_dump_json(exclude_none=True).encode()


class Coordinates(Part):
    """Where an entry is from: the topic, the partition and the offset of its record. `str(entry.place)` is
    its name, such as 2/89 or tickets/3/41."""

    topic: Topic | None = Field(
        None,
        exclude_if=lambda topic: topic is None,
        description="The topic. Absent for the topic of texts.",
    )
    partition: Partition = Field(description="The partition.")
    offset: Offset = Field(description="The offset.")
    chunk: Whole = Field(
        0,
        ge=0,
        le=places.CHUNK_MOST,
        exclude_if=lambda chunk: not chunk,
        description="Which of the entries of a record that became several, from 0. Absent for the first.",
    )

    @property
    def place(self) -> Place:
        """The same as a value."""
        return Place(self.topic, self.partition, self.offset, self.chunk)

    @classmethod
    def of(cls, place: Place) -> Coordinates:
        """Those of a place."""
        return cls(**place._asdict())


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises `InvalidMessage`."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessage("not-utf8", f"byte {error.start} of {len(raw)} is not UTF-8") from None
    try:
        fields = from_json(raw)
    except ValueError as error:
        raise InvalidMessage("not-json", _why_not_json(raw, error)) from None
    if not isinstance(fields, dict):
        raise InvalidMessage("not-json", f"expected a JSON object, got {type(fields).__name__}")
    return fields


def _why_not_json(raw: bytes, error: ValueError) -> str:
    if not raw.strip():
        return "it is empty: expected a JSON object"
    if raw.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark, which JSON has not: leave it out"
    return str(error)[:300]


def _explain(error: ValidationError, names: Iterable[str]) -> InvalidMessage:
    """The first problems in one line, and the reason that the first one amounts to. `names` are the message's
    fields."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    faults = tuple((_field_path(p["loc"]), _fault(p, names)) for p in problems[:MAX_FAULTS])
    detail = "; ".join(f"{where}: {message}" for where, message in faults[:3])
    if len(problems) > 3:
        detail += f"; and {len(problems) - 3} more"
    first = problems[0]
    if first["type"] == "string_too_long":
        return InvalidMessage("too-long", detail, faults)
    if "blank text" in first["msg"]:
        return InvalidMessage("blank-text", detail, faults)
    return InvalidMessage("invalid-message", detail, faults)


def _fault(problem: ErrorDetails, names: Iterable[str]) -> str:
    """What is wrong with a field, and what would be right, in words that need no knowledge of pydantic."""
    if problem["type"] == "extra_forbidden":
        known = ", ".join(name for name in names if name != "v")
        there = f": the fields are {known}" if len(problem["loc"]) == 1 else ""
        return shortened(f"there is no such field{there}", 200)
    return shortened(problem["msg"].removeprefix("Value error, "), 120)


def _field_path(location: tuple[int | str, ...]) -> str:
    """Where a problem is, shortened: names of fields come from the sender and may have any length."""
    return ".".join(shortened(str(part), 40) for part in location) or "message"
