"""A program teaches by the client library while its gateway dies.

Writes that the dead gateway had begun are claimed by it for 25 s more. Then the other one looks whether they
are in Kafka, and writes what is not.
"""

from __future__ import annotations

import threading

import pytest

from hurnet_schemas import TextEvent
from hurnet_stream.client import Client, Watermarks
from hurnet_stream.local.loopback import free_ports
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_client import address_of, gateway_of


@pytest.mark.timeout(600)
def test_a_gateway_killed_and_started_again_loses_nothing_and_writes_nothing_twice(system: System) -> None:
    (port,) = free_ports(1)
    for worker in ("ingest", "responder", "gateway"):
        system.start(worker, HURNET_GATEWAY_PORT=str(port))
    for running in system.running:
        running.wait_ready()
    first = gateway_of(system)
    address = address_of(first)
    context, count = "killed", 60
    with Client(address, timeout=240) as client:
        client.ask("is it there?")
        taught: list[Watermarks] = []

        def teach() -> None:
            taught.extend(client.teach(f"killed text {i}", f"{i}", context=context) for i in range(count))

        teaching = threading.Thread(target=teach)
        teaching.start()
        wait_for(lambda: len(taught) > count // 4, what="some are taught")
        first.kill()
        system.start("gateway", HURNET_GATEWAY_PORT=str(port)).wait_ready()
        teaching.join(300)
        assert len(taught) == count
        seen = Watermarks()
        for watermarks in taught:
            seen |= watermarks
        client.wait(seen, context=context)
    values = [TextEvent.decode(r.value) for r in system.read(system.settings.kafka.texts) if r.value]
    texts = [event.text for event in values if event.context == context]
    assert sorted(texts) == sorted(f"killed text {i}" for i in range(count))
