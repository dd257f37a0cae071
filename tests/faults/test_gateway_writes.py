"""Real gateways are killed, stopped and continued while clients try again: each text is there, and once."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from hurnet_stream.local.loopback import free_ports
from tests.acceptance.system import Running, System, wait_for

DEATHS = {
    # point: the how-manieth time that it is reached
    "before-claiming": 1,
    "after-claiming": 1,
    "before-writing": 1,
    "in-writing": 1,
    "after-writing": 1,
    "before-noting": 2,
    "after-noting": 2,
}
POINT = {"before-noting": "before-claiming", "after-noting": "after-claiming"}
TEXTS = 3
NO_POOL = httpx.Limits(max_keepalive_connections=0)
"""A connection that is kept would break with its gateway."""
CLIENTS, KILLS = 8, 2


@dataclass
class Gateways:
    """Gateways of one system, by the ports that they serve at."""

    system: System
    ports: dict[str, int] = field(default_factory=dict)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, limits=NO_POOL))

    def start(self, name: str, *, point: str = "", nth: int = 1) -> Running:
        """One that takes over soon, or one that ends at `point`."""
        port = self.ports.get(name) or free_ports(1)[0]
        self.ports[name] = port
        module = ["tests.acceptance.saboteur", point, str(nth)] if point else ["tests.faults.impatient"]
        settings = {"HURNET_GATEWAY_PORT": str(port), "HURNET_METRICS_PORT": "0"}
        return self.system._start("gateway", [sys.executable, "-m", *module], settings)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def wait_for(self, *names: str) -> None:
        for name in names:
            wait_for(partial(self._writes, name), what=f"{name} writes")

    def _writes(self, name: str) -> bool:
        try:
            response = self.client.post(f"{self.url(name)}/v1/texts", json={"text": "warm"})
        except httpx.TransportError:
            return False
        return response.status_code == 202

    def post(self, name: str, texts: list[str], key: str) -> httpx.Response | None:
        """None if the connection broke."""
        body = {"texts": [{"text": text} for text in texts]}
        headers = {"Idempotency-Key": key}
        try:
            return self.client.post(f"{self.url(name)}/v1/texts", json=body, headers=headers)
        except httpx.TransportError:
            return None

    def until_accepted(self, names: list[str], texts: list[str], key: str) -> dict[str, Any]:
        """As a client does it: from one gateway to the other, until it is accepted."""
        deadline = time.monotonic() + 120
        for turn in range(10_000):
            response = self.post(names[turn % len(names)], texts, key)
            if response is not None and response.status_code == 202:
                return dict(response.json())
            assert response is None or response.status_code in (409, 503), response.text
            assert time.monotonic() < deadline, response and response.text
            time.sleep(0.1)
        raise AssertionError

    def written(self, texts: Collection[str]) -> Counter[str]:
        """How often each text is in the topic, once all of `texts` are: Kafka acknowledges a commit a moment
        before it can be read."""

        def found() -> Counter[str] | None:
            records = self.system.read(self.system.settings.kafka.texts)
            counted = Counter(json.loads(record.value)["text"] for record in records)
            return counted if counted.keys() >= set(texts) else None

        return Counter(wait_for(found, what="what was accepted can be read"))

    def places(self, texts: list[str]) -> list[str]:
        records = self.system.read(self.system.settings.kafka.texts)
        found = {json.loads(r.value)["text"]: f"{r.topic}/{r.partition}/{r.offset}" for r in records}
        return [found[text] for text in texts]


def test_a_gateway_that_is_killed_at_any_step_loses_nothing_and_its_client_is_told_once(
    system: System,
) -> None:
    gateways = Gateways(system)
    doomed = {
        death: gateways.start(death, point=POINT.get(death, death), nth=nth) for death, nth in DEATHS.items()
    }
    gateways.start("other")
    for death in DEATHS:  # no request without a key, which would come to the point of its death
        wait_for(partial(_answers, gateways.url(death)), what=death)
    gateways.wait_for("other")
    keys = {death: uuid.uuid4().hex for death in DEATHS}
    texts = {death: [f"{death} {n}" for n in range(TEXTS)] for death in DEATHS}
    for death, running in doomed.items():
        while running.process.poll() is None:  # it may refuse as long as it is not connected
            response = gateways.post(death, texts[death], keys[death])
            assert response is None or response.status_code == 503 or running.wait_end()
        assert running.process.returncode == -signal.SIGKILL
    with ThreadPoolExecutor(len(DEATHS)) as pool:
        answers = dict(
            zip(
                DEATHS,
                pool.map(lambda d: gateways.until_accepted(["other"], texts[d], keys[d]), DEATHS),
                strict=True,
            )
        )
    written = gateways.written([text for each in texts.values() for text in each])
    for death in DEATHS:
        assert [written[text] for text in texts[death]] == [1] * TEXTS, death
        assert answers[death]["records"] == gateways.places(texts[death]), death


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/me", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_gateway_that_was_taken_for_dead_and_goes_on_writes_nothing_more(system: System) -> None:
    gateways = Gateways(system)
    zombie = gateways.start("zombie", point="stopped-before-writing")
    gateways.start("other")
    wait_for(lambda: _answers(gateways.url("zombie")))
    gateways.wait_for("other")
    key, texts, told, stopped = uuid.uuid4().hex, ["a", "b", "c"], list[Any](), threading.Event()

    def ask_zombie() -> None:
        told.append(gateways.post("zombie", texts, key))
        while not stopped.is_set() and told[-1] is not None and "Retry-After" in told[-1].headers:
            told.append(gateways.post("zombie", texts, key))  # it can't write yet

    asking = threading.Thread(target=ask_zombie)
    asking.start()
    wait_for(lambda: _is_stopped(zombie.process.pid), what="it stops with its transaction open")
    stopped.set()
    answer = gateways.until_accepted(["other"], texts, key)
    os.kill(zombie.process.pid, signal.SIGCONT)
    asking.join(120)
    assert not asking.is_alive()
    assert told
    assert told[-1] is None or told[-1].status_code == 503, told[-1].text
    assert gateways.until_accepted(["zombie"], texts, key) == answer  # it goes on under another name
    written = gateways.written(texts)
    assert [written[text] for text in texts] == [1, 1, 1]
    assert answer["records"] == gateways.places(texts)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "T"


def test_clients_that_try_again_while_gateways_are_killed_write_each_text_once(system: System) -> None:
    gateways = Gateways(system)
    names = ["one", "two"]
    running = {name: gateways.start(name) for name in names}
    gateways.wait_for(*names)
    ending, accepted = threading.Event(), list[tuple[str, list[str]]]()

    def client(number: int) -> None:
        count = 0
        while not ending.is_set():
            text = f"client {number} text {count}"
            answer = gateways.until_accepted(names, [text], uuid.uuid4().hex)
            accepted.append((text, answer["records"]))
            count += 1

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    for turn in range(KILLS):
        time.sleep(1.0)
        name = names[turn % 2]
        running[name].kill()
        running[name] = gateways.start(name)
        gateways.wait_for(name)
    wait_for(lambda: len(accepted) > 20, what="some more")
    ending.set()
    for each in clients:
        each.join(120)
        assert not each.is_alive()
    written = gateways.written([text for text, _ in accepted])
    written.pop("warm")
    assert Counter(text for text, _ in accepted) == written  # ids in = ids out, each once
    places = gateways.places([text for text, _ in accepted])
    assert [records for _, records in accepted] == [[place] for place in places]
