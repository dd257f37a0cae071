"""A context that keeps its entries for some time, and one that keeps so many, on a real system."""

from __future__ import annotations

import json
import time
from pathlib import Path

from hurnet_schemas import Query, TextEvent
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, System, wait_for
from tests.acceptance.test_identity import states


def texts(context: str, ago_s: float, topic: str) -> list[Outgoing]:
    """30 texts of a context, from so many seconds ago."""
    at = round((time.time() - ago_s) * 1000)
    events = [
        TextEvent(text=f"{context} number {i}", answer=f"answer {i}", context=context) for i in range(30)
    ]
    return [
        Outgoing(topic, event.encode(), partition=i % PARTITIONS, timestamp_ms=at + i)
        for i, event in enumerate(events)
    ]


def held(system: System) -> dict[str, int]:
    """Nothing if the command failed for once."""
    command = system.run("contexts", "--json")
    told = [] if command.returncode else json.loads(command.stdout)["contexts"]
    return {each["context"]: each["rows"] for each in told}


def test_what_is_too_old_or_too_much_leaves_answers_statistics_and_store(
    system: System, tmp_path: Path
) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text("[contexts.short]\nage = 3600\n[contexts.few]\nrows = 10\n")
    system.variables |= {"HURNET_CONFIG": str(file), "HURNET_RESPONDER_WAIT": "60"}  # a busy machine
    topic = system.settings.kafka.texts
    with system.sink() as sink:
        for context, ago_s in (("short", 7200), ("few", 60), ("for-ever", 1e6)):
            sink.send(texts(context, ago_s, topic))
    for name in ("ingest", "solver", "responder"):
        system.start(name).wait_ready()
    wait_for(lambda: held(system) == {"few": 10, "for-ever": 30}, what="the rest is gone")
    left = {text for text in system.texts_in_store() if text.startswith("few")}
    assert left == {f"few number {i}" for i in range(20, 30)}
    questions = [("short", "short number 3"), ("few", "few number 25")]
    # The responder follows the store: it may not have seen the last deletions yet.
    marks = {p: state.watermark for p, state in states(system).items()}
    system.ask([Query(text=t, context=c, id=c, min_watermarks=marks) for c, t in questions])
    wait_for(lambda: len(system.answers()) == len(questions))
    answers = {answer.id: answer for answer in system.answers()}
    assert answers["short"].outcome == "abstained"
    assert answers["short"].receipt is not None
    assert answers["short"].receipt.rows == 0
    assert answers["few"].answer == "answer 25"
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    assert "10 rows" in system.run("contexts").stdout
