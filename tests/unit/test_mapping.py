"""`hurnet map` without servers: format and envelope, the table and its reasons, what is taken, how well."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.kafka.reading.sampling import WINDOWS_MOST, windows
from hurnet_stream.command_line import hurnet
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.operations.mapping.fields import fields_of
from hurnet_stream.operations.mapping.looks import look
from hurnet_stream.operations.mapping.names import hint
from hurnet_stream.operations.mapping.others import keys
from hurnet_stream.operations.mapping.rows import rows_of, sending
from hurnet_stream.operations.mapping.survey import Survey, Tools, survey
from hurnet_stream.operations.mapping.trying import wilson
from hurnet_stream.ports import OffsetRange, Record, Schema
from hurnet_stream.readers.making import Making
from hurnet_stream.settings.settings import Settings, TopicSettings
from tests.worlds.asking import ENGLISH, Person, people


def tools(schemas: Any = None) -> Tools:
    settings, embedder = Settings(), load("hash128")
    return Tools(Making(settings, schemas), schemas, embedder, embedder, settings.solve)


def records(values: list[Any], key: bool = True) -> list[Record]:
    return [
        Record("tickets", 0, row, 1_000, str(row).encode() if key else None, json.dumps(value).encode())
        for row, value in enumerate(values)
    ]


def ticket(person: Person) -> dict[str, Any]:
    answered = person.number % 4 > 0
    return {
        "id": person.number,
        "subject": person.text,
        "resolution": person.subject.reply if answered else None,
    }


TICKETS = [ticket(person) for person in people(ENGLISH, 200)]


def mapped(values: list[Record], given: Mapping[str, Any] | None = None, topic: str = "tickets") -> Survey:
    return survey(topic, values, given or {}, tools())


def test_the_table_can_be_pasted_and_says_why() -> None:
    found = mapped(records(TICKETS))
    table = found.tried[0].proposal.toml()
    (settings,) = tomllib.loads(table)["topics"].values()
    assert TopicSettings(**settings) == TopicSettings(
        format="json",
        text="value.subject",
        answer="value.resolution",
        when="value.resolution",
        context="'tickets'",
        keys="upsert",
    )
    assert all(" # " in line for line in table.splitlines()[1:])
    assert "25% of the records have no answer yet" in table


def test_what_would_be_taken_is_what_a_reader_takes() -> None:
    broken = Record("tickets", 0, 900, 1_000, b"x", b"{not json")
    gone = Record("tickets", 0, 901, 1_000, b"1", None)
    again = Record("tickets", 0, 902, 1_000, b"2", json.dumps(TICKETS[2]).encode())
    took = mapped([*records(TICKETS), broken, gone, again]).tried[0].takings
    assert (took.records, took.taken, took.replaced, took.deleted) == (203, 151, 1, 1)
    assert took.reasons == {"not-json": 1}
    assert took.examples("not-json")[0].place == "tickets/0/900"
    assert len(took.entries) == 149
    assert took.contexts == {"tickets": 149}


def test_the_accuracy_has_an_interval_and_what_to_compare_it_with() -> None:
    trial = mapped(records(TICKETS)).tried[0].trial
    low, high = trial.interval
    assert trial.questions > 80
    assert low < trial.accuracy <= high
    assert trial.accuracy > 2 * trial.majority


def test_answers_that_are_there_once_are_not_asked_for() -> None:
    values = [
        {"question": f"{row}: {t['subject']}", "answer": f"You can read that on page {row}."}
        for row, t in enumerate(TICKETS)
    ]
    trial = mapped(records(values)).tried[0].trial
    assert (trial.questions, trial.why_not) == (0, "each answer is there once: no pair can be left out")


def test_nothing_that_looks_like_a_text_is_said() -> None:
    found = mapped(records([{"ms": row, "host": "web1"} for row in range(50)]))
    assert not found.tried
    assert found.notes == ["no field has the look of a text: words that differ from record to record"]


def test_texts_alone_are_said_to_be_that() -> None:
    found = mapped(records([{"line": person.text} for person in people(ENGLISH, 50)], key=False))
    assert found.tried[0].candidate.answer is None
    assert "no field has the look of an answer" in found.notes[0]


def test_what_is_told_is_taken() -> None:
    found = mapped(records(TICKETS), {"text": "value.resolution", "answer": "", "when": "", "keys": "append"})
    table = found.tried[0].proposal.settings()
    assert (table["text"], table["keys"]) == ("value.resolution", "append")
    assert not {"answer", "when"} & table.keys()
    assert found.tried[0].takings.reasons == {"blank-text": 50}


@pytest.mark.parametrize("wrong", ["subject", "value.(", "join(value.a"])
def test_a_wrong_expression_is_told(wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        mapped(records(TICKETS[:20]), {"text": wrong})


def test_the_envelope_and_the_service_records_of_a_database_are_seen() -> None:
    values: list[Any] = [
        {"op": "c", "before": None, "after": row, "source": {"table": "t"}} for row in TICKETS
    ]
    values += [{"op": "d", "before": TICKETS[1], "after": None, "source": {"table": "t"}}]
    found = mapped(records(values))
    assert (found.form.format, found.form.envelope) == ("json", "debezium")
    assert found.tried[0].proposal.settings()["text"] == "value.subject"
    assert found.tried[0].takings.deletions == 51, "those without an answer yet, and the one that is gone"


def test_cloud_events_are_seen() -> None:
    events = [{"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": row} for row in TICKETS]
    assert mapped(records(events)).form.envelope == "cloudevents"


def test_plain_texts_are_seen() -> None:
    lines = [Record("lines", 0, p.number, 0, None, p.text.encode()) for p in people(ENGLISH, 50)]
    found = mapped(lines, topic="lines")
    assert found.form.format == "text"
    assert found.tried[0].takings.taken == 50


class Nowhere:
    def schema(self, schema_id: int) -> Schema:
        raise InvalidMessage("invalid-message", "there is no such schema")


@pytest.mark.parametrize(
    ("value", "schemas", "told"),
    [
        (b"\0\0\0\0\x07\x02", None, "HURNET_REGISTRY_URL"),
        (b"\0\0\0\0\x07\x02", Nowhere(), "knows no schema 7"),
        (b"\xff\xfe\xfd\xfc", None, "ff fe fd fc"),
        (None, None, "none of the 5 records has a value"),
    ],
)
def test_bytes_that_nothing_reads_are_told(value: bytes | None, schemas: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        survey("t", [Record("t", 0, row, 0, None, value) for row in range(5)], {}, tools(schemas))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=20)
@given(st.lists(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=6), min_size=3, max_size=12))
def test_whatever_records_hold_it_is_looked_at(values: list[Any]) -> None:
    found = mapped(records(values))
    for tried in found.tried:
        assert tried.takings.records == len(values)
        tomllib.loads(tried.proposal.toml())


def test_the_look_of_a_value_does_not_depend_on_its_language() -> None:
    looks: dict[str, list[Any]] = {
        "text": [
            "How do I log in?",
            "パスワードを忘れました。どうすればいいですか",
            "Где моя посылка сегодня утром",
            "¿Dónde?",
        ],
        "label": ["billing", "reset_password", "Home & Garden", "Rechnung"],
        "language": ["en", "pt-BR"],
        "time": ["2026-11-28", "2026-11-28T12:00:00Z"],
        "number": [7, 2.5, "12", "3.14"],
        "id": ["TCK-00041", "4f1c9a00-1111-2222-3333-444455556666"],
        "link": ["https://example.com/a", "/var/log/a.txt"],
        "address": ["ana@example.com", "+49 30 123456", "10.0.0.1"],
        "flag": [True],
        "code": ["x" * 80, "| 7 | 8 | 9 | 10 |"],
    }
    for expected, values in looks.items():
        assert {value: look(value) for value in values} == dict.fromkeys(values, expected)


@pytest.mark.parametrize(
    ("name", "around", "role"),
    [
        ("subject", "ticket", "text"),
        ("title", "", "words"),
        ("title", "question", "text"),
        ("body", "answer", "answer"),
        ("replyText", "", "answer"),
        ("answer_id", "", "key"),
        ("Lösung", "", "answer"),
        ("質問", "", "text"),
        ("updated_at", "", "time"),
        ("colour", "", None),
    ],
)
def test_a_name_hints_at_a_role(name: str, around: str, role: str | None) -> None:
    assert hint(name, around) == role


def test_keys_of_texts_are_told_from_keys_of_people() -> None:
    versions = ["Where is my parcel?", "Where is my parcel now?"]
    assert keys([1, 1, 2], [*versions, "Another one"]).upsert
    assert not keys(["ana", "ana", "bo"], ["Where is my parcel?", "I forgot my password", "Hi"]).upsert
    assert not keys([None, None], versions).upsert


@given(
    st.dictionaries(st.integers(0, 200), st.tuples(st.integers(0, 500), st.integers(0, 900)), max_size=60),
    st.integers(1, 1_500),
)
def test_windows_are_spread_disjoint_and_bounded(held: dict[int, tuple[int, int]], most: int) -> None:
    ranges = {partition: OffsetRange(first, first + length) for partition, (first, length) in held.items()}
    planned = windows(ranges, most)
    total = sum(length for _, length in held.values())
    assert sum(window.records for window in planned) <= max(most, len(planned))
    if total <= most and len(held) <= WINDOWS_MOST:
        assert sum(window.records for window in planned) == total
    for partition, held_here in ranges.items():
        own = [window for window in planned if window.partition == partition]
        assert all(held_here.first <= w.first < w.end <= held_here.end for w in own)
        assert all(one.end == other.first for one, other in pairwise(own))
        if len(own) > 1:
            assert own[0].first == held_here.first, "the oldest is there"
            assert own[-1].first + own[-1].records == held_here.end, "and the newest"


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(0.5, 2, 0.095, 0.905), (1.0, 10, 0.722, 1.0), (0.0, 0, 0, 1)]
)
def test_the_interval_is_wilson_s(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=1e-3)


FILES = {
    "faq.csv": "Frage;Antwort;lang\nWo ist mein Paket?;Im Auto.;de\nWo ist es?;Im Haus.;de\n",
    "faq.jsonl": '{"Frage": "Wo?", "Antwort": "Da."}\n{"Frage": "Wie?", "Antwort": "So."}\n',
    "faq.json": '[{"Frage": "Wo?", "Antwort": "Da."}, {"Frage": "Wie?", "Antwort": "So."}]',
    "faq.txt": "Where is my parcel today?\nHow do I log in again?\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_rows(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    topic, rows, count = rows_of(path, 10)
    assert (topic, len(rows), count) == ("faq", 2, "2")
    if name != "faq.txt":
        expressions = [
            field.expression for field in fields_of([json.loads(row.value or b"") for row in rows])
        ]
        assert expressions[:2] == ["value.Frage", "value.Antwort"]


def test_a_compressed_file_is_read_as_its_content(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv.gz"
    path.write_bytes(gzip.compress(FILES["faq.csv"].encode("utf-16")))
    _, rows, count = rows_of(path, 10)
    assert count == "2"
    assert json.loads(rows[0].value or b"")["Frage"] == "Wo ist mein Paket?"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("faq.parquet", b"PAR1 and no more", "no whole Parquet file"),
        (
            "faq.csv",
            b"a;b\n" + b"1;2\n" * 20 + b"1;" + b"x" * (1 << 18),
            "can't be read as CSV: field larger",
        ),
        ("faq.csv.gz", gzip.compress(b"a;b\n1;2\n", mtime=0)[:-9], "its end is missing"),
    ],
)
def test_a_file_that_is_damaged_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as refused:
        rows_of(tmp_path / name, 10)
    assert name in str(refused.value)


def test_a_file_is_sent_by_the_command_that_is_said() -> None:
    table = {
        "text": 'value."Frage 1"',
        "answer": "value.a.b",
        "context": "'faq'",
        "metadata": {"x": "value.lang"},
    }
    assert sending("faq.csv", table) == (
        "hurnet produce faq.csv --text 'Frage 1' --answer a.b --metadata lang --context faq"
    )
    assert sending("faq.csv", {"text": "join(' ', value.lines)"}) is None


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HURNET_EMBEDDER_NAME", "hash128")
    path = tmp_path / "tickets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TICKETS))
    return path


def test_the_command_shows_and_writes_the_table(file: Path) -> None:
    written = file.parent / "hurnet.toml"
    written.write_text("[ingest]\nbatch = 50\n")
    ended = CliRunner().invoke(hurnet, ["map", str(file), "--write", str(written)])
    assert ended.exit_code == 0, ended.output
    assert tomllib.loads(ended.stdout)["topics"]["tickets"]["text"] == "value.subject"
    assert tomllib.loads(written.read_text())["ingest"] == {"batch": 50}
    assert tomllib.loads(written.read_text())["topics"] == tomllib.loads(ended.stdout)["topics"]
    again = CliRunner().invoke(hurnet, ["map", str(file), "--write", str(written)])
    assert again.exit_code == 2
    assert "nothing was written" in again.output
    written.write_bytes(b"\x80")
    binary = CliRunner().invoke(hurnet, ["map", str(file), "--write", str(written)])
    assert (binary.exit_code, "is no TOML" in binary.stderr, written.read_bytes()) == (2, True, b"\x80")


def test_a_file_that_is_none_is_no_topic(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "absent.csv"):
        ended = CliRunner().invoke(hurnet, ["map", str(source)])
        assert (ended.exit_code, f"'{source}' is neither a topic nor a file" in ended.stderr) == (2, True)


def test_hidden_samples_stay_hidden(file: Path) -> None:
    for arguments in (["--hide-samples"], ["--hide-samples", "--json"]):
        ended = CliRunner().invoke(hurnet, ["map", str(file), *arguments])
        assert ended.exit_code == 0, ended.output
        assert not any(subject.reply[:30] in ended.output for subject in ENGLISH)
        assert not any(asked in ended.output for subject in ENGLISH for asked in subject.asked)
