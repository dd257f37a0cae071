"""What tells of a person is replaced: the same way for texts and questions, and nothing else is."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core import pii
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Outgoing, Readers
from hurnet_stream.readers.redacting import redacting
from hurnet_stream.records import TextReader
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.pii import PiiSettings
from hurnet_stream.settings.settings import IngestSettings, ResponderSettings, Settings
from hurnet_stream.wiring.reading import readers
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.memory.weights_store import MemoryWeightsStore

ALL = pii.rules(pii.KINDS)
redact = pii.redacting(ALL)
LONGEST = 16_384

FOUND = {
    pii.MAIL: [
        "a@b.co",
        "ann.b+news@mail.example.org",
        "o'neil@example.ie",
        "ANN@EXAMPLE.COM",
        "jürgen@müller.de",
        "x_y%z@sub.example.co.uk",
        "ann@xn--mller-kva.de",
        "ann@例え.テスト",
    ],
    pii.PHONE: [
        "+49 30 1234567",
        "+49 (0)30 12 34 56-7",
        "+1 415 555 2671",
        "+14155552671",
        "0049 30 1234567",
        "+91 98765 43210",
        "030 1234567",
        "0171/2345678",
        "01712345678",
        "06 12 34 56 78",
        "020 7946 0958",
        "(020) 7946 0958",
        "03-1234-5678",
        "(415) 555-2671",
        "415-555-2671",
        "1-415-555-2671",
        "415.555.2671",
        "+86 138 0013 8000",
        "+55 11 91234-5678",
        "+45 32 12 34 56",
        "+34 612 345 678",
        "+7 912 345-67-89",
        "+27 82 123 4567",
    ],
    pii.CARD: [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5500 0000 0000 0004",
        "3782 822463 10005",
        "378282246310005",
        "6011000990139424",
        "3530111333300000",
        "3056 930902 5904",
        "2223003122003222",
    ],
    pii.IBAN: [
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "NO93 8601 1117 947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "nl91abna0417164300",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "BR15 0000 0000 0000 1093 2840 814P 2",
        "CH93-0076-2011-6238-5295-7",
    ],
    pii.IP: [
        "192.168.1.10",
        "8.8.8.8",
        "2001:db8::1",
        "fe80::1ff:fe23:4567:890a",
        "2001:0db8:0000:0000:0000:ff00:0042:8329",
        "::ffff:10.0.0.1",
    ],
}
"""Of several countries. Cards and accounts are those for tests that their issuers publish."""
KEPT = [
    "order 4711-0815-2342",
    "order number 1234567890",
    "on 2026-11-28",
    "on 28.11.2026 at 14:30",
    "01.02.2026 14:30",
    "from 01.02.2026 - 05.02.2026",
    "02/03/2026 10 am",
    "at 12:30:45",
    "version 10.4.3",
    "300.1.2.3",
    "v1.2.3.4",
    "std::vector",
    "aa:bb:cc:dd:ee:ff",
    "4111 1111 1111 1112",
    "DE88 3704 9944 9532 9130 00",
    "invoice 2026-000123",
    "ISBN 978-3-16-148410-0",
    "0.12345678",
    "1,234,567.89",
    "EAN 4006381333931",
    "EAN 4006381333900",
    "you@home",
    "price 10 000 000",
    "@ann",
    "user@",
    "12 x 34 x 56",
    "9:00-17:00",
    "a::b",
    "pages 100-110",
    "50 000 000 EUR",
    "key: 1234",
    "SKU AB12 3456",
    "π = 3.14159265358979",
    "",
]
ANY = st.text(max_size=200)
HOSTILE = st.text(alphabet="a1@.:+-_0()/ <>é49DE", max_size=80)
PIECES = st.lists(
    st.sampled_from(
        [each for examples in FOUND.values() for each in examples] + [*KEPT, " ", ".", "@", ":", "+"]
    ),
    max_size=6,
)


@pytest.mark.parametrize(("by", "text"), [(by, text) for by, texts in FOUND.items() for text in texts])
def test_each_kind_is_found_and_is_no_longer_than_before(by: str, text: str) -> None:
    for before, behind in (
        ("", ""),
        ("Please use ", " for it."),
        ("(", ")"),
        ("to: ", ", thanks"),
        ("", "."),
    ):
        assert redact(before + text + behind) == before + by + behind
    assert len(by) <= len(text)
    kind = next(kind for kind, step in pii.KINDS.items() if step(text) != text)
    others = pii.redacting(pii.rules(set(pii.KINDS) - {kind, "phone"}))
    assert others(text) == text or by == pii.IP


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == text


def test_a_number_that_is_said_to_be_a_phone_is_one() -> None:
    assert redact("Tel. 32 12 34 56, Fax: 612345678") == "Tel. <PHONE>, Fax: <PHONE>"
    assert redact("Telefonnummer: 612 345 678") == "Telefonnummer: <PHONE>"
    assert redact("32 12 34 56") == "32 12 34 56"


def test_several_in_one_text() -> None:
    text = "ann@example.org,bob@example.org: 10.0.0.1:8080 or 10.0.0.2/24, "
    text += "DE89370400440532013000 4111111111111111"
    assert redact(text) == "<MAIL>,<MAIL>: <IP> or <IP>/24, <IBAN> <CARD>"


@settings(max_examples=300, deadline=None)
@given(ANY | HOSTILE | PIECES.map(" ".join) | PIECES.map("".join))
def test_twice_is_once_and_no_text_becomes_longer_or_empty(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert len(once) <= len(text)
    assert bool(once) == bool(text)


@given(ANY)
def test_without_kinds_nothing_changes(text: str) -> None:
    assert pii.redacting(pii.rules([]))(text) == text


HARD = [
    *(
        "1",
        "a",
        "@",
        ".",
        ":",
        "+",
        "a@",
        "a.",
        "1.",
        "1:",
        "a:",
        "1 ",
        "+1 ",
        "(0",
        "01 ",
        "001",
        "DE89 ",
        "4111 ",
        "4111111111111111 ",
    ),
    *(
        "a@b.co ",
        "a@b.",
        "1.2.3.4 ",
        "::",
        "::1 ",
        "a::",
        "+49 30 1234567",
        "tel ",
        "tel: 1 ",
        "é",
        "1\u00a0",
        "0-",
        "x@y.de2",
        "200-300-",
        "01/",
        "DE12DE12",
        "<",
        "How do I reset it? ",
    ),
]


@pytest.mark.parametrize("piece", HARD)
def test_hostile_texts_take_no_longer_than_their_length(piece: str) -> None:
    """Of the longest text, 16,384 characters. The bound has much room, and is far below what a pattern takes
    whose time grows with the square of the length."""
    text = (piece * LONGEST)[:LONGEST]
    took = []
    for _ in range(3):
        began = time.process_time()
        redact(text)
        took.append(time.process_time() - began)
    assert min(took) < 0.2


def test_any_mixture_of_hard_pieces_is_quick() -> None:
    random = Random(7)
    for _ in range(10):
        text = "".join(random.choices(HARD, k=LONGEST))[:LONGEST]
        began = time.process_time()
        once = redact(text)
        assert time.process_time() - began < 0.5
        assert len(once) <= len(text)


@pytest.mark.parametrize("kinds", ["mail", "email,name", "email;phone"])
def test_unknown_kinds_are_refused(kinds: str) -> None:
    with pytest.raises(ValueError, match="must be some of email, ip, iban, card, phone"):
        PiiSettings(kinds=kinds)


def test_the_order_and_blanks_of_kinds_do_not_count() -> None:
    assert (
        PiiSettings(kinds=" phone, email,,phone").rules
        == PiiSettings(kinds="email,phone").rules
        == "1:email,phone"
    )
    assert PiiSettings().rules == PiiSettings(kinds=" , ").rules == ""


@pytest.mark.parametrize("rules", ["2:email", "1:name", "email", ":"])
def test_rules_of_a_newer_program_are_not_guessed(rules: str) -> None:
    with pytest.raises(ConfigurationError, match="does not know: upgrade"):
        redacting(Readers(TextReader()), rules)


class System:
    """Ingest and a responder on one broker and one store."""

    def __init__(self, rules: str) -> None:
        self.kafka, self.redis, self.embedder = MemoryKafka(), MemoryRedis(), HashedText(128)
        for topic in ("texts", "queries", "answers", "dead-letters"):
            self.kafka.create(topic)
        self.redis.data.redaction = rules
        self.settings = Settings(
            ingest=IngestSettings(poll=0), responder=ResponderSettings(poll=0, threshold=0, instance="one")
        )

    def run(self) -> None:
        store = MemoryEntryStore(self.redis)
        source, sink = MemorySource(self.kafka, "texts", "ingest"), MemorySink(self.kafka)
        ingest = Ingest(source, store, sink, self.embedder, self.settings, IngestMetrics())
        ingest.reading_by(readers(self.settings, store))
        exchange = MemoryExchange(self.kafka, "queries", "responder", "one")
        weights = MemoryWeightsStore(self.redis)
        responder = Responder(exchange, store, weights, self.embedder, self.settings, ResponderMetrics())
        for _ in range(12):
            ingest.step()
            responder.step()

    def answers(self) -> list[Answer]:
        return [Answer.decode(record.value) for record in self.kafka.records("answers")]

    def send(self, topic: str, message: TextEvent | Query) -> None:
        self.kafka.append([Outgoing(topic, message.encode())])


MARK = "ann.marked@example.org"


def asked(rules: str) -> tuple[System, MemoryEntryStore]:
    system = System(rules)
    text = TextEvent(
        text=f"Write to {MARK}", answer=f"We wrote to {MARK} at +49 30 1234567", metadata={"from": MARK}
    )
    system.send("texts", text)
    system.send("texts", TextEvent(text="The parcel is late", answer="We look for it"))
    system.send("queries", Query(id=MARK, text="Write to bob@example.net"))
    system.send("queries", Query(text=f"Write to {MARK}"))
    system.run()
    store = MemoryEntryStore(system.redis)
    store.open(system.embedder.identity)
    return system, store


def test_texts_and_questions_are_redacted_alike_and_the_store_has_none_of_it() -> None:
    system, store = asked(pii.rules(["email", "phone"]))
    entry = store.entry(0, 0)
    assert entry
    assert entry.text == "Write to <MAIL>"
    assert entry.answer == "We wrote to <MAIL> at <PHONE>"
    assert entry.metadata == {"from": "<MAIL>"}
    answer, to_the_same = system.answers()
    assert answer.id == MARK  # the question's own name is what its client knows it by
    assert answer.answer == "We wrote to <MAIL> at <PHONE>"
    assert answer.candidates[0].scores == to_the_same.candidates[0].scores  # whoever it is asked of
    assert MARK.encode() in (system.kafka.records("texts")[0].value or b"")  # Kafka has it as it came


def test_without_it_texts_are_as_they_come() -> None:
    system, store = asked("")
    entry = store.entry(0, 0)
    assert entry
    assert MARK in entry.text
    answer, to_the_same = system.answers()
    assert answer.candidates[0].scores.meaning < to_the_same.candidates[0].scores.meaning
