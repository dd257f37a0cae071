"""The doctor on a system of its own, of which one part after the other is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hurnet_stream.exit_codes import BROKEN_PART, DONE
from hurnet_stream.local import KafkaServer, ValkeyServer
from tests.acceptance.system import Running, System, wait_for
from tests.conftest import QUICK_GROUPS


def examined(system: System, timeout_s: int = 60) -> dict[str, Any]:
    """What `hurnet doctor` says, and its exit code as `code`. If all is well, it takes less than its time."""
    done = system.run("doctor", "--json", "--timeout", str(timeout_s))
    return {**json.loads(done.stdout), "code": done.returncode}


def assert_broken(system: System, *parts: str) -> dict[str, Any]:
    """The first broken part is one of these, at the latest once a busy machine has time enough."""
    told = examined(system, 4)
    if told["broken"] not in parts:
        told = examined(system, 25)
    assert told["broken"] in parts, told
    assert told["code"] == BROKEN_PART[told["broken"]]
    assert told["advice"]
    return told


def test_each_part_that_is_stopped_is_the_one_that_is_named(unique: str, tmp_path: Path) -> None:
    kafka, valkey = KafkaServer(tmp_path / "kafka", settings=QUICK_GROUPS), ValkeyServer(tmp_path / "valkey")
    with kafka, valkey, System(kafka.bootstrap, valkey.url, unique, tmp_path) as system:
        system.create_topics()
        workers = {name: system.start(name).wait_ready() for name in ("ingest", "solver", "responder")}
        well = examined(system)
        assert (well["well"], well["code"]) == (True, DONE), well
        assert all(check["well"] for check in well["checks"])

        def again(name: str) -> Running:
            workers[name] = system.start(name).wait_ready()
            return workers[name]

        assert workers["responder"].terminate() == 0
        assert "hurnet responder" in assert_broken(system, "responder")["advice"]
        again("responder")
        assert workers["ingest"].terminate() == 0
        assert assert_broken(system, "ingest")["advice"] == "start one: `hurnet ingest`"
        again("ingest")
        valkey.kill()
        assert "Redis" in assert_broken(system, "store")["advice"]
        valkey.restart()
        wait_for(lambda: all(worker.get("/readyz")[0] == 200 for worker in workers.values()), what="ready")
        assert examined(system)["well"]
        kafka.kill()
        assert len(assert_broken(system, "kafka")["checks"]) == 1
        said = system.run("doctor", "--timeout", "1")
        assert "client → Kafka" in said.stdout
        assert "what to do" in said.stdout
