"""Commands as child processes, and what the gateway does with them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hurnet_stream.gateway.children import Children
from hurnet_stream.gateway.problems import Problem
from tests.acceptance.system import wait_for
from tests.unit.test_gateway_reading import put_receipt
from tests.worlds.gateway import GatewayWorld

CSV = {"content-type": "text/csv"}


def script(body: str) -> Children:
    return Children((sys.executable, "-c", f"import sys, time, os\n{body}"))


def run(children: Children, longest_s: float = 10.0) -> Any:
    return asyncio.run(children.run("replay", ["x"], longest_s))


def test_a_child_s_json_its_code_and_its_last_words_are_told() -> None:
    ended = run(script("print('{\"a\": 1}'); sys.stderr.write('one\\nlast words\\n'); sys.exit(3)"))
    assert (ended.code, ended.told, ended.complaint) == (3, {"a": 1}, "last words")
    assert run(script("print('nothing')")).told == {}
    assert (
        run(script('sys.exit(\'{"error": "Redis is away", "exit_code": 2}\')')).complaint == "Redis is away"
    )


def test_a_child_that_takes_too_long_or_says_too_much_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with pytest.raises(Problem, match="longer than"):
        run(script("time.sleep(60)"), 0.3)
    monkeypatch.setattr("hurnet_stream.gateway.children.OUTPUT_BYTES", 1_000)
    with pytest.raises(Problem, match="more than"):
        run(script("print('x' * 10_000, flush=True); time.sleep(60)"))
    assert time.monotonic() - began < 30


def test_there_is_one_of_each_kind_at_a_time() -> None:
    children = script("time.sleep(0.5); print('{}')")

    async def two() -> list[Any]:
        return await asyncio.gather(
            *(children.run(kind, [], 60) for kind in ("replay", "replay", "rehearsal")),
            return_exceptions=True,
        )

    _, second, third = asyncio.run(two())
    assert isinstance(second, Problem)
    assert (second.status, second.headers["Retry-After"]) == (503, "5")
    assert not isinstance(third, BaseException)


def test_a_child_ends_with_the_client_that_hung_up(tmp_path: Path) -> None:
    children = script(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")

    async def hang_up() -> None:
        running = asyncio.create_task(children.run("replay", [], 60))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(hang_up())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_child_does_not_outlive_a_gateway_that_is_killed() -> None:
    child = (
        "import sys, threading, time; from hurnet_stream.gateway import child;"
        " threading.Thread(target=child._end_without, args=(int(sys.argv[1]),), daemon=True).start();"
        " time.sleep(60)"
    )
    owner = (
        "import subprocess, sys, os, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.5)  # it has imported what it needs by then, or ends all the same
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def world() -> Iterator[GatewayWorld]:
    made = GatewayWorld()
    yield made
    made.close()


def test_a_receipt_is_replayed_by_a_child(world: GatewayWorld) -> None:
    put_receipt(world, "support")
    world.gateway.children = script("import json; print(json.dumps({'same': True, 'ran': sys.argv[2:]}))")
    told = world.call("POST", "/v1/receipts/answers/0/0/replay").json()
    assert told == {"same": True, "ran": ["replay", "--json", "--", "answers/0/0"]}
    today = world.call("POST", "/v1/receipts/answers/0/0/replay?now=1").json()
    assert today["ran"] == ["replay", "--json", "--now", "--", "answers/0/0"]
    wrong = world.call("POST", "/v1/receipts/answers/0/0/replay?now=yes")
    assert (wrong.status_code, wrong.json()["where"]) == (422, "now")
    assert world.call("POST", "/v1/receipts/answers/0/1/replay").status_code == 404
    world.gateway.children = script("sys.exit('Error: Kafka is away')")
    failed = world.call("POST", "/v1/receipts/answers/0/0/replay")
    assert (failed.status_code, "Kafka is away" in failed.json()["detail"]) == (503, True)


def test_replays_may_be_off() -> None:
    world = GatewayWorld(replays=False)
    assert world.call("POST", "/v1/receipts/answers/0/0/replay").status_code == 404
    world.close()


def test_a_file_is_rehearsed_with_its_rejects(world: GatewayWorld) -> None:
    world.gateway.children = script(
        "import json; n = sum(1 for _ in open(sys.argv[4]));"
        "print(json.dumps({'left_out': {'questions': n, 'accuracy': 0.5}, 'notes': []}))"
    )
    told = world.call(
        "POST", "/v1/rehearsals", content="text,answer\nhi,hello\nyo,hello\n,x\nalone,\n", headers=CSV
    ).json()
    assert (told["rows"], told["rejected"], told["accuracy"], told["rehearsed"]) == (3, 1, 0.5, 2)
    assert told["without_answer"] == 1
    assert told["rejects"][0]["line"] == 4
    assert told["preview"][0] == {
        "v": 1,
        "text": "hi",
        "answer": "hello",
        "context": "default",
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("", "text/csv", 422),
        ("x", "application/json", 415),
        ("x" * 5_000, "text/csv", 413),
        ("a,b\nc,d,e", "text/csv", 200),
    ],
)
def test_a_wrong_file_is_told(content: str, kind: str, status: int) -> None:
    world = GatewayWorld(body=4_096)
    response = world.call("POST", "/v1/rehearsals", content=content, headers={"content-type": kind})
    world.close()
    assert response.status_code == status


def test_pairs_that_are_left_out_are_counted_by_the_real_command(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HURNET_EMBEDDER_NAME", "hash512")  # the quickest to load
    rows = [f"how do I reset my password, number {n},reset" for n in range(10)]
    rows += [f"where is my parcel number {n};track".replace(";", ",") for n in range(10)]
    content = "text,answer\n" + "\n".join(
        f'"{row.rpartition(",")[0]}",{row.rpartition(",")[2]}' for row in rows
    )
    told = world.call("POST", "/v1/rehearsals", content=content, headers=CSV)
    assert told.status_code == 200, told.text
    assert told.json()["rehearsed"] == 20
    assert told.json()["accuracy"] == 1.0
    assert json.dumps(told.json())


def test_a_file_is_taught_once_and_tells_what_was_left_out(world: GatewayWorld) -> None:
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    content = "text,answer,key\nhi,hello,k-1\n,x,\nyo,hello,\n"
    headers = CSV | {"Idempotency-Key": "file-1"}
    first, second = (
        world.call("POST", "/v1/files?context=faq", content=content, headers=headers) for _ in "ab"
    )
    assert first.status_code == 202, first.text
    told = first.json()
    assert (told["rows"], told["rejected"], len(told["records"])) == (2, 1, 2)
    assert second.json() == told
    assert second.headers["idempotency-replayed"] == "true"
    nothing = world.call("POST", "/v1/files", content="text\n \n,x\n", headers=CSV)
    assert (nothing.status_code, nothing.json()["rejects"][0]["line"]) == (422, 3)


def test_an_export_that_is_taught_again_keeps_the_times_of_its_entries(world: GatewayWorld) -> None:
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    exported = {"topic": "texts", "partition": 0, "offset": 7, "timestamp": 1_764_331_200_000, "text": "hi"}
    lines = "\n".join(json.dumps(each) for each in (exported, {"text": "yo"}))
    table = f"{','.join(exported)}\n{','.join(map(str, exported.values()))}\n"
    for content, kind in ((lines, {"content-type": "application/x-ndjson"}), (table, CSV)):
        assert world.call("POST", "/v1/files", content=content, headers=kind).status_code == 202
    times = [(json.loads(r.value or b"")["text"], r.timestamp_ms) for r in world.kafka.records("texts")]
    assert times.count(("hi", 1_764_331_200_000)) == 2
    assert [text for text, at in times if at > 1_764_331_200_000] == ["yo"]


def test_the_same_file_with_other_times_is_another_request(world: GatewayWorld) -> None:
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    headers = CSV | {"Idempotency-Key": "export-1"}
    files = [f"topic,partition,offset,timestamp,text\ntexts,0,7,{at},hi\n" for at in (1_000, 2_000)]
    statuses = [world.call("POST", "/v1/files", content=each, headers=headers).status_code for each in files]
    assert statuses == [202, 422]
