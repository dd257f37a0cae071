"""What is no receipt is refused by a message that names the place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hurnet_stream.command_line import hurnet
from hurnet_stream.operations.again.asked import Asked, Missing, RecordName, from_kafka, from_line
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal import memory
from hurnet_stream.terminal.memory import free_bytes
from hurnet_stream.terminal.receipts import asked

RECEIPT: dict[str, Any] = {
    "query": "queries/0/1",
    "context": "default",
    "rows": 1,
    "embedder": "hash32",
    "fingerprint": "f",
    "watermarks": {"0": 1},
    "threshold": 0.3,
    "seconds": 0.1,
}
REPLY: dict[str, Any] = {"id": "q", "outcome": "answered", "question": "hello?", "receipt": RECEIPT}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HURNET_"):
            monkeypatch.delenv(name)


def reply(**changed: Any) -> bytes:
    return json.dumps({**REPLY, **changed}).encode()


def receipt(**changed: Any) -> bytes:
    return reply(receipt={**RECEIPT, **changed})


WEIGHTS: dict[str, Any] = {"version": 1, "watermarks": {}, "count": 1, "ridge": 0.1}

MIX: dict[str, Any] = {"version": 1, "meaning": 0.5, "memory": 1, "lexical": 1, "words": 1, "weights": 1}

GARBAGE = [
    (b"", "holds no line"),
    (b"\n \n", "holds no line"),
    (b"no json", "not-json"),
    (b"[1, 2]", "expected a JSON object, got list"),
    (b'{"a": "\xff"}', "byte 7 of 10 is not UTF-8"),
    (b"\x00\x01\x02", "not-json"),
    (b'{"text": "a query"}', "id: Field required"),
    (b"[" * 100_000, "not-json"),
    (reply(v=2), "schema version 2"),
    (reply(question=7), "question: Input should be a valid string"),
    (reply(question=" "), "question: blank text"),
    (reply(question="x" * 20_000), "question: String should have at most 16384 characters"),
    (reply(candidates=[{}]), "candidates.0.answer: Field required"),
    (receipt(watermarks={"0": "x"}), "receipt.watermarks.0"),
    (receipt(watermarks={"-1": 3}), "receipt.watermarks.-1"),
    (receipt(watermarks={"0": -5}), "receipt.watermarks.0"),
    (receipt(rows="many"), "receipt.rows"),
    (receipt(context="NO SUCH!"), "receipt.context: String should match pattern"),
    (receipt(filter="{"), "receipt.filter: not JSON"),
    (receipt(filter='{"key": 3}'), "filter"),
    (receipt(weights={"version": "new"}), "receipt.weights.version"),
    (receipt(mix={"version": 1}), "receipt.mix.meaning: Field required"),
    (receipt(exclude={"partition": 0}), "receipt.exclude.offset: Field required"),
    (receipt(deleting={"0": "all"}), "receipt.deleting.0"),
    (receipt(deleting={"0": -1}), "receipt.deleting: no responder gives such a value"),
    (receipt(half_life=-3), "receipt.half_life"),
    (receipt(half_life=1e300), "receipt.half_life"),
    (receipt(p=0), "receipt.p"),
    (receipt(error_rate_set=7), "receipt.error_rate_set"),
    (receipt(weights=WEIGHTS | {"features": "../x"}), "receipt.weights.features"),
    (receipt(weights=WEIGHTS | {"pane": 1 << 60}), "receipt.weights.pane"),
    (receipt(weights=WEIGHTS | {"ridge": -1}), "receipt.weights.ridge"),
    (receipt(weights=WEIGHTS | {"beyond": {"0": -7}}), "receipt.weights.beyond"),
    (receipt(half_life=0.5), "receipt.half_life"),
    (receipt(deleting={"0": 1 << 62}), "receipt.deleting"),
    (receipt(beyond={"tickets/0": 1 << 62}), "receipt.beyond"),
    (receipt(threshold=7), "receipt.threshold: no responder gives such a value"),
    (receipt(rows=-4), "receipt.rows: no responder gives such a value"),
    (receipt(probability=1.5), "receipt.probability"),
    (receipt(mix=MIX | {"memory": -1}), "receipt.mix: no responder gives such a value"),
    (receipt(mix=MIX | {"meaning": 2}), "receipt.mix: no responder gives such a value"),
    (b"{" + b" " * (4 << 20) + b"}", "more than 4 MiB, and no receipt is as long"),
    (reply() + b"\n" + reply(), "holds 2 lines, and one receipt is asked again at a time"),
    (reply()[:-9], "not-json"),
]


@pytest.mark.parametrize(("raw", "said"), GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_in_place_of_a_receipt_is_named(raw: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(raw)
    for arguments, given in ([str(file)], None), (["-"], raw):
        result = CliRunner().invoke(hurnet, ["replay", *arguments], input=given)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "name", ["no-such-file", "answers/0", "answers/0/x", "answers/-1/2", "/answers/0/1", "", " ", "a\0b"]
)
def test_what_names_no_record_and_no_file_is_told(name: str) -> None:
    result = CliRunner().invoke(hurnet, ["replay", name])
    assert result.exit_code == 2
    assert "is neither a record (as answers/0/42) nor a file" in result.stderr


def test_a_name_that_is_too_long_is_told() -> None:
    result = CliRunner().invoke(hurnet, ["replay", "x" * 5_000])
    assert (result.exit_code, "File name too long" in result.stderr) == (2, True)


def test_a_folder_is_no_receipt(tmp_path: Path) -> None:
    result = CliRunner().invoke(hurnet, ["replay", str(tmp_path)])
    assert result.exit_code == 2
    assert "Is a directory" in result.stderr


def record(topic: str, value: object) -> Record:
    raw = None if value is None else json.dumps(value).encode()
    return Record(topic, 0, 1, 0, None, raw)


ANSWER = {name: value for name, value in REPLY.items() if name != "question"}


def test_what_is_gone_from_kafka_is_missing_and_not_an_error() -> None:
    answered, query = record("answers", ANSWER), record("queries", {"text": "hello?", "top_k": 7})
    known: dict[RecordName, Record | str] = {("answers", 0, 1): answered, ("queries", 0, 1): query}
    found = from_kafka(("answers", 0, 1), known.__getitem__)
    assert isinstance(found, Asked)
    assert (found.query.top_k, found.then.question, found.then.record) == (7, "hello?", "answers/0/1")
    gone = from_kafka(("answers", 0, 1), {("answers", 0, 1): "it is gone"}.__getitem__)
    assert gone == Missing("record", "it is gone")
    known["queries", 0, 1] = "retention took it"
    assert from_kafka(("answers", 0, 1), known.__getitem__) == Missing("question", "retention took it")
    late = record("answers", {"id": "q", "outcome": "timed-out", "reason": "too late"})
    nothing = from_kafka(("answers", 0, 1), {("answers", 0, 1): late}.__getitem__)
    assert isinstance(nothing, Missing)
    assert "timed-out: too late; nothing was scored" in nothing.why


def test_an_answer_whose_receipt_did_not_fit_says_so() -> None:
    for outcome in ("answered", "abstained"):
        found = from_line(reply(outcome=outcome, receipt=None))
        assert isinstance(found, Missing)
        assert found.why == f"the question was {outcome}, and its receipt did not fit into the message"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_receipt_may_be_written_on_several_lines(indent: int | None, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    text = json.dumps(REPLY | {"question": "où est-ce? 你好"}, indent=indent, ensure_ascii=False)
    file.write_bytes(f"\n{text}\n\n".encode(encoding))
    found = asked(str(file), KafkaSettings())
    assert isinstance(found, Asked)
    assert found.query.text == "où est-ce? 你好"


def test_a_pipe_without_an_end_is_not_read_for_ever() -> None:
    result = CliRunner().invoke(hurnet, ["replay", "/dev/zero"])
    assert (result.exit_code, "more than 4 MiB" in result.stderr) == (2, True)


def test_memory_is_what_caches_would_make_way_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert free_bytes() is None, "as on a system that does not say it"
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemFree:  1 kB\nMemAvailable:  5 kB\n")
    assert free_bytes() == 5 << 10
    (tmp_path / "memory.stat").write_text("anon 3000\nfile 90\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() == 5 << 10
    (tmp_path / "memory.max").write_text("4000\n")
    assert free_bytes() == 1_000


def test_a_line_names_as_many_candidates_as_came() -> None:
    found = from_line(reply())
    assert isinstance(found, Asked)
    assert (found.query.text, found.query.top_k, found.query.neighbours) == ("hello?", 1, 0)
