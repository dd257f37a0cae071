"""What the world sends: one table of hostile records for the topic of texts and one of hostile queries.

Each line is an attack with its name and all that it may lead to. A line that may lead to "in" or "answered"
alone is a message that only looks wrong: it must be processed like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import BrokerResponseError

from hurnet_schemas.base import MAX_TEXT
from hurnet_schemas.query import MAX_TOP_K

HOUR_MS = 3_600_000
BEFORE_MS = 1_700_000_000_000
"""A time in the past that brokers accept."""


class RawName(str):
    """A header's name whose bytes are chosen freely: a producer in another language may send any."""

    raw: bytes

    def encode(self, *_: object) -> bytes:
        return self.raw


def raw_name(raw: bytes) -> RawName:
    name = RawName("raw")
    name.raw = raw
    return name


class RawHeaders(list[tuple[str, bytes | None]]):
    """Headers of which some have no value: kafka-python can write these, but then asks for their lengths."""

    written = False

    def __iter__(self) -> Iterator[tuple[str, bytes | None]]:
        if not self.written:
            self.written = True
            return super().__iter__()
        return iter([(name, value or b"") for name, value in super().__iter__()])


@dataclass(frozen=True)
class Attack:
    """A record, and what may become of it. On texts: "in", "deletes" or a dead letter's reason; on queries:
    the outcome of the answer; on both: "refused", if the broker does not take it."""

    name: str
    value: bytes | None
    outcomes: str
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    codec: str | None = None


def message(text: object = "good", **fields: object) -> bytes:
    return json.dumps({"text": text, **fields}).encode()


def fields(**values: object) -> bytes:
    return json.dumps(values).encode()


_BROKEN_JSON = [
    Attack("no bytes", b"", "not-json"),
    Attack("plain text", b"turn on the light", "not-json"),
    Attack("cut short", b'{"text": "turn on', "not-json"),
    Attack("two objects", b'{"text": "a"}{"text": "b"}', "not-json"),
    Attack("an array", b'[{"text": "a"}]', "not-json"),
    Attack("a string", b'"text"', "not-json"),
    Attack("a number", b"42", "not-json"),
    Attack("null", b"null", "not-json"),
    Attack("100,000 brackets", b"[" * 100_000, "not-json"),
    Attack("50,000 objects in each other", b'{"metadata":' * 50_000 + b"1" + b"}" * 50_000, "not-json"),
    Attack("not a number", b'{"text": NaN}', "not-json|invalid-message"),
    Attack("single quotes", b"{'text': 'a'}", "not-json"),
    Attack("a byte order mark", b'\xef\xbb\xbf{"text": "a"}', "not-json"),
    Attack("UTF-16", '{"text": "a"}'.encode("utf-16"), "not-utf8"),
    Attack("Latin-1", '{"text": "café"}'.encode("latin-1"), "not-utf8"),
    Attack("an overlong NUL", b'{"text": "\xc0\x80"}', "not-utf8"),
    Attack("a surrogate in UTF-8", b'{"text": "\xed\xa0\x80"}', "not-utf8"),
    Attack("half a surrogate pair", b'{"text": "\\ud83d"}', "not-json"),
    Attack("an Avro record of a registry", b"\x00\x00\x00\x00\x07\x0aHello", "not-json"),
    Attack("msgpack", b"\x81\xa4text\xa2hi", "not-utf8|not-json"),
    Attack("900 kB of zeros", bytes(900_000), "not-json"),
    Attack("900 kB of spaces", b" " * 900_000, "not-json"),
]
_WRONG_FIELDS = [
    Attack("no text", b"{}", "invalid-message"),
    Attack("text null", message(None), "invalid-message"),
    Attack("text a list", message(["a"]), "invalid-message"),
    Attack("text an object", message({"a": 1}), "invalid-message"),
    Attack("text a flag", message(True), "invalid-message"),
    Attack("empty text", message(""), "blank-text"),
    Attack("spaces of every kind", message(" \t\n\u00a0\u2003\u3000"), "blank-text"),
    Attack("NUL", message("a\0b"), "invalid-message"),
    Attack("a terminal's escape sequence", message("\x1b]0;owned\x07"), "invalid-message"),
    Attack("one character too many", message("a" * (MAX_TEXT + 1)), "too-long"),
    Attack("900,000 characters", message("a" * 900_000), "too-long"),
    Attack("100,000 escaped characters", b'{"text": "' + b"\\u0041" * 100_000 + b'"}', "too-long"),
    Attack("an unknown field", message(txet="a"), "invalid-message"),
    Attack("an unknown field of 500 kB", message(**{"x" * 500_000: 1}), "invalid-message"),
    Attack("an unknown field that fools terminals", message(**{"\x1b[2J\u202e": 1}), "invalid-message"),
    Attack("20,000 unknown fields", message(**{f"f{i}": i for i in range(20_000)}), "invalid-message"),
    Attack("version 2", message(v=2), "unknown-version"),
    Attack("a version in words", message(v="1"), "unknown-version"),
    Attack("version true", message(v=True), "unknown-version"),
    Attack("version null", message(v=None), "unknown-version"),
    Attack("a version of 4,000 digits", b'{"text": "a", "v": ' + b"9" * 4_000 + b"}", "unknown-version"),
    Attack("a context in capitals", message(context="Default"), "invalid-message"),
    Attack("a context with a line end", message(context="default\n"), "invalid-message"),
    Attack("an empty context", message(context=""), "invalid-message"),
    Attack("a context that climbs", message(context="../meta"), "invalid-message"),
    Attack("a context of 65 characters", message(context="c" * 65), "invalid-message"),
    Attack("a context in Greek", message(context="πλαίσιο"), "invalid-message"),
]
RECORDS: list[Attack] = [
    *_BROKEN_JSON,
    *_WRONG_FIELDS,
    Attack("33 items of metadata", message(metadata={f"k{i}": "" for i in range(33)}), "invalid-message"),
    Attack("metadata too long", message(metadata={"k": "v" * 1_025}), "too-long"),
    Attack("metadata that is a number", message(metadata={"k": 1}), "invalid-message"),
    Attack("metadata in metadata", message(metadata={"k": {"k": "v"}}), "invalid-message"),
    Attack("a metadata key with a space", message(metadata={"a b": "v"}), "invalid-message"),
    Attack("weight 0", message(weight=0), "invalid-message"),
    Attack("weight -1", message(weight=-1), "invalid-message"),
    Attack("weight 1,001", message(weight=1_001), "invalid-message"),
    Attack("weight a half", message(weight=0.5), "invalid-message"),
    Attack("weight true", message(weight=True), "invalid-message"),
    Attack("weight in words", message(weight="5"), "invalid-message"),
    Attack("weight beyond every number", b'{"text": "a", "weight": 1e400}', "invalid-message|not-json"),
    Attack("a blank answer", message(answer=" "), "blank-text"),
    Attack("an answer too long", message(answer="a" * (MAX_TEXT + 1)), "too-long"),
    # odd, and good
    Attack("a field twice", b'{"text": "a", "text": "b"}', "in"),
    Attack("a field's name escaped", b'{"\\u0074ext": "a"}', "in"),
    Attack("900 kB of space behind the message", message() + b" " * 900_000, "in"),
    Attack("the longest text", message("a" * MAX_TEXT), "in"),
    Attack("the longest text in words", message(("ab " * MAX_TEXT)[:MAX_TEXT]), "in"),
    Attack("the longest text and answer in emoji", message("🦄" * MAX_TEXT, answer="🦄" * MAX_TEXT), "in"),
    Attack(
        "the most metadata",
        message(metadata={f"k{i}": "é" * 1_024 for i in range(32)}, answer="a", weight=1_000),
        "in",
    ),
    Attack("right to left, and overridden", message("שָׁלוֹם \u202eabc\u202c עולם"), "in|invalid-message"),
    Attack("nothing but combining marks", message("\u0301\u0302\u0303"), "in|zero-vector|blank-text"),
    Attack("nothing but zero-width characters", message("\u200b\u200d\ufeff"), "in|zero-vector|blank-text"),
    Attack("one word with 10,000 accents", message("a" + "\u0301" * 10_000), "in"),
    Attack("a private character and a noncharacter", message("\ue000 \ufffe \U0010ffff"), "in|zero-vector"),
    Attack("a family in one emoji", message("👩‍👩‍👧‍👦"), "in"),
    Attack("a key that is not UTF-8", message(), "in", key=b"\xff\x00\xfe"),
    Attack("an empty key", message(), "in", key=b""),
    Attack("no key", message(), "in", key=None),
    Attack("a key of 900 kB", message(), "in", key=b"k" * 900_000),
    Attack("1,000 headers", message(), "in", headers=[(f"h{i}", b"v") for i in range(1_000)]),
    Attack("a header of 900 kB", message(), "in", headers=[("h", b"v" * 900_000)]),
    Attack("a header's name that is not UTF-8", message(), "in", headers=[(raw_name(b"\xff\xfe"), b"v")]),
    Attack("a header without a value", message(), "in", headers=[("h", None)]),
    Attack("a header without a name", message(), "in", headers=[("", b"v")]),
    Attack("a forget header beside a text", message(), "in", headers=[("forget", b"0")]),
    Attack("the time 0", message(), "in", timestamp_ms=0),
    Attack("no time", message(), "in|refused", timestamp_ms=-1),
    Attack("before every time", message(), "in|refused", timestamp_ms=-(2**63)),
    Attack("seconds for milliseconds", message(), "in", timestamp_ms=BEFORE_MS // 1_000),
    Attack("microseconds for milliseconds", message(), "in|refused", timestamp_ms=BEFORE_MS * 1_000),
    Attack("the end of time", message(), "in|refused", timestamp_ms=2**63 - 1),
    *(
        Attack(f"packed by {c}", message(f"packed by {c}"), "in", codec=c)
        for c in ("gzip", "snappy", "lz4", "zstd")
    ),
    *(
        Attack(
            f"64 MiB packed by {c}", bytes(64 << 20), "not-json|too-large|unreadable-batch|refused", codec=c
        )
        for c in ("gzip", "zstd")
    ),
    # deletions
    Attack("a tombstone of nothing", None, "tombstone", key=None),
    Attack("a tombstone of a key nobody used", None, "deletes", key=b"nobody"),
    *(
        Attack(f"forget {named!r:.40}", None, "tombstone", headers=[("forget", named)])
        for named in (
            *(b"nothing", b"", b"-1", b"+5", b" 5", b"1e3", b"0x10", b"9" * 30, b"9" * 900_000),
            *("٣".encode(), "５".encode(), b"\xff", b"9223372036854775807", b"9223372036854775808"),
        )
    ),
    Attack("forget without a value", None, "tombstone|deletes", key=b"nobody", headers=[("forget", None)]),
    Attack("forget what is not there", None, "deletes|tombstone", headers=[("forget", b"1")]),
]


_WORDS = " ".join(f"word{i}" for i in range(2_000))[:MAX_TEXT]
_LATER = {"0": 10**15}
_TOP_KS: list[object] = [0, -1, MAX_TOP_K + 1, 2**70, 1.5, "x", [], None]
_WATERMARKS: list[object] = [
    *({"-1": 0}, {"0": -1}, {"x": 1}, {"0": "x"}, {"0": 2**63}, []),
    {str(partition): 0 for partition in range(4_097)},
]
_NOWHERE = {str(partition): 0 for partition in range(9, 4_009)}
QUERIES: list[Attack] = [
    *(Attack(a.name, a.value, "rejected", a.key) for a in _BROKEN_JSON),
    *(Attack(a.name, a.value, "rejected", a.key) for a in _WRONG_FIELDS),
    Attack("a tombstone", None, "rejected"),
    *(Attack(f"top_k {k!r}", message(top_k=k), "rejected") for k in _TOP_KS),
    *(Attack(f"timeout {t!r}", message(timeout_ms=t), "rejected") for t in (0, -1, 60_001, 2**70, "x")),
    *(Attack(f"watermarks {w!s:.40}", message(min_watermarks=w), "rejected") for w in _WATERMARKS),
    Attack("a partition that isn't there", message(min_watermarks={"99": 0}), "timed-out"),
    Attack(
        "4,000 partitions that aren't there",
        message(min_watermarks=_NOWHERE),
        "timed-out",
    ),
    Attack(
        "an offset that isn't there, for a minute",
        message(min_watermarks=_LATER, timeout_ms=60_000),
        "timed-out",
    ),
    *(
        Attack(f"exclude {e!r:.40}", message(exclude=e), "rejected")
        for e in ({}, 1, {"partition": -1, "offset": 0}, {"partition": 0, "offset": 2**63}, {"partition": 0})
    ),
    Attack(
        "exclude what is not there", message(exclude={"partition": 77, "offset": 5}), "answered|abstained"
    ),
    *(Attack(f"id {i!r:.20}", message(id=i), "rejected") for i in ("", "i" * 257, 5, "a\nb\x1b", "\0")),
    Attack("a context nobody has", message(context="nobody.has-it"), "abstained"),
    Attack("an empty context's weights", message(context="weights"), "abstained"),
    Attack("the longest question", message(_WORDS), "answered|abstained"),
    Attack("the longest word", message("a" * MAX_TEXT), "answered|abstained"),
    Attack("the longest question in emoji", message("🦄" * MAX_TEXT), "answered|abstained"),
    Attack("nothing but combining marks", message("\u0301\u0302"), "answered|abstained|rejected"),
    Attack("nothing but zero-width characters", message("\u200b\u200d"), "answered|abstained|rejected"),
    Attack(
        "a hundred of the longest texts",
        message(_WORDS, top_k=MAX_TOP_K, context="long"),
        "answered|abstained",
    ),
    *(
        Attack(f"reply to {to[:30]!r} of {len(to)} bytes", message(), "rejected", headers=[("reply-to", to)])
        for to in (
            *(b"", b".", b"..", b"a/b", b"texts", b"\xff\xfe", b"answers\n", b"a" * 250, b"a" * 900_000),
            *(b"__consumer_offsets", "réponses".encode(), b"answers\x00"),
        )
    ),
    Attack(
        "reply to a topic that isn't there",
        message(),
        "rejected",
        headers=[("reply-to", b"%-answers-not-there")],
    ),
    Attack("a reply-to without a value", message(), "answered|rejected", headers=[("reply-to", None)]),
    Attack("a correlation of 257 bytes", message(), "rejected", headers=[("correlation-id", b"c" * 257)]),
    Attack("a correlation of 900 kB", message(), "rejected", headers=[("correlation-id", b"c" * 900_000)]),
    Attack(
        "a correlation that is not UTF-8", message(), "answered", headers=[("correlation-id", b"\xff\xfe")]
    ),
    Attack("a correlation without a value", message(), "answered", headers=[("correlation-id", None)]),
    Attack("an empty correlation", message(), "answered", headers=[("correlation-id", b"")]),
    Attack("a key of 2 kB", message(), "rejected", key=b"k" * 2_000),
    Attack("a key of 900 kB", message(), "rejected", key=b"k" * 900_000),
    Attack("a key that is not UTF-8", message(), "answered", key=b"\xff\x00"),
    Attack("no key", message(), "answered", key=None),
    Attack("1,000 headers", message(), "answered", headers=[(f"h{i}", b"v") for i in range(1_000)]),
    Attack(
        "a header's name that is not UTF-8", message(), "answered", headers=[(raw_name(b"\xff\xfe"), b"v")]
    ),
    Attack("a header without a value", message(), "answered", headers=[("h", None)]),
    Attack("the time 0, in a hurry", message(timeout_ms=30_000), "answered", timestamp_ms=0),
    *(Attack(f"packed by {c}", message(), "answered", codec=c) for c in ("gzip", "snappy", "lz4", "zstd")),
    Attack("64 MiB packed by gzip", bytes(64 << 20), "rejected|refused", codec="gzip"),
]


class Attacker:
    """Sends what kafka-python's own `send` refuses: no key and no value, names that are no text, any time."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producers: dict[str | None, Any] = {}

    def send(self, topic: str, partition: int, attack: Attack) -> int | None:
        """The offset of the record; None if the broker refuses it. One record a batch."""
        producer = self._producer(attack.codec)
        at = TopicPartition(topic, partition)
        time_ms = BEFORE_MS if attack.timestamp_ms is None else attack.timestamp_ms
        appended = (at, time_ms, attack.key, attack.value, RawHeaders(attack.headers))
        producer.partitions_for(topic)
        future = producer._accumulator.append(*appended)[0]
        producer._sender.wakeup()
        try:
            return int(future.get(120).offset)
        except BrokerResponseError:
            return None

    def close(self) -> None:
        for producer in self._producers.values():
            producer.close(5)

    def _producer(self, codec: str | None) -> Any:
        if codec not in self._producers:
            self._producers[codec] = KafkaProducer(
                bootstrap_servers=self._bootstrap,
                compression_type=codec,
                max_request_size=256 << 20,
                enable_idempotence=False,
                acks="all",
            )
        return self._producers[codec]
