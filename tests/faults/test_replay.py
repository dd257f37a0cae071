"""Receipts asked again on real servers, after kills, restarts, compaction and forgetting."""

from __future__ import annotations

import json
from typing import Any

from hurnet_schemas import Query
from hurnet_schemas.reply import Reply
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_forget import audit, delete, events, teach

QUERY = Query(id="asked", text="question number 41", top_k=3)


def answers(system: System) -> dict[str, Any]:
    """The records of answers, by the id of the answer."""
    return {json.loads(record.value)["id"]: record for record in system.read(system.settings.kafka.answers)}


def named(record: Any) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


def replay(system: System, receipt: str, *options: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
    done = system.run("replay", receipt, "--json", *options, stdin=stdin)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_same_to_the_bit_after_kills_and_compaction_and_what_was_forgotten_is_named(
    system: System,
) -> None:
    teach(system, events(0, 200))
    workers = {name: system.start(name) for name in ("ingest", "solver", "responder")}
    wait_for(lambda: len(system.texts_in_store()) == 200, what="all texts in")

    def asked_with_weights() -> Any:
        system.ask([QUERY.model_copy(update={"id": f"asked-{len(answers(system))}"})])
        found = [each for each in answers(system).values() if b'"weights":{"version"' in each.value]
        return found[-1] if found else None

    record = wait_for(asked_with_weights, what="an answer with weights")
    assert replay(system, named(record))[0] == 0

    for worker in workers.values():
        worker.kill()
    second = {"HURNET_RESPONDER_INSTANCE": "second", "HURNET_RESPONDER_WAIT": "60"}
    for name in workers:
        system.start(name, HURNET_SOLVE_KEEP_DELETIONS="0", **second)
    teach(system, events(200, 100))
    wait_for(lambda: len(system.texts_in_store()) == 300, what="more texts in")
    teach(system, events(1_000, 5))
    delete(system, "p4")  # deletes texts that the receipt has seen, too
    wait_for(lambda: len(audit(system)) == 1, what="deleted")
    wait_for(lambda: len(system.texts_in_store()) == 244, what="erased")
    assert system.run("compact", "--wait", "100").returncode == 0
    code, lost = replay(system, named(record))
    assert (code, lost["same"]) == (3, False)
    entries = [missing for missing in lost["missing"] if missing["what"] == "entry"]
    assert len(entries) == 40
    assert {missing["deletion"].split("/")[0] for missing in entries} == {system.settings.kafka.texts}

    # What is asked now can be asked again, whatever comes, from the record and from a line of JSON.
    ends = {batch.partition: batch.watermark for batch in system.batches()}
    system.ask([QUERY.model_copy(update={"id": "later", "min_watermarks": ends})])
    later = wait_for(lambda: answers(system).get("later"), what="an answer")
    teach(system, events(300, 100))
    wait_for(lambda: len(system.texts_in_store()) == 344, what="even more texts in")
    code, same = replay(system, named(later))
    assert (same["differences"], same["missing"], same["same"], code) == ([], [], True, 0)
    assert same["question"] == QUERY.text
    line = Reply.model_validate(same["then"]).encode().decode()
    assert replay(system, "-", stdin=line)[0] == 0
    code, today = replay(system, "-", "--now", stdin=line)
    assert code in (0, 1)
    assert (today["as_of"], today["between"]["came"], today["between"]["went"]) == ("today", 100, 0)

    said = {
        "0/999": "ends before offset",
        "9/0": "has no partition 9",
    }
    for place, why in said.items():
        code, gone = replay(system, f"{system.settings.kafka.answers}/{place}")
        assert (code, gone["then"], gone["now"]) == (3, None, None)
        assert why in gone["missing"][0]["why"]
