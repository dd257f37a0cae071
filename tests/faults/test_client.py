"""A program teaches by the client library while its gateway dies.

Writes that the dead gateway had begun are claimed by it for 25 s more. Then the other one looks whether they
are in Kafka, and writes what is not.
"""

from __future__ import annotations

import threading

from hurnet_schemas import TextEvent
from hurnet_stream.client import Client, Watermarks
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_client import address_of, gateway_of


def test_a_gateway_killed_and_started_again_loses_nothing_and_writes_nothing_twice(system: System) -> None:
    for worker in ("ingest", "responder", "gateway"):
        system.start(worker, HURNET_GATEWAY_PORT="0")
    for running in system.running:
        running.wait_ready()
    first = gateway_of(system)
    address = address_of(first)
    context, count = "killed", 60
    with Client(address, timeout=60) as client:
        client.ask("is it there?")
        taught: list[Watermarks] = []

        def teach() -> None:
            taught.extend(client.teach(f"killed text {i}", f"{i}", context=context) for i in range(count))

        teaching = threading.Thread(target=teach)
        teaching.start()
        wait_for(lambda: len(taught) > count // 4, what="some are taught")
        first.kill()
        port = address.rpartition(":")[2]
        system.start("gateway", HURNET_GATEWAY_PORT=port).wait_ready()
        teaching.join(60)
        assert len(taught) == count
        seen = Watermarks()
        for watermarks in taught:
            seen |= watermarks
        client.wait(seen, context=context)
    values = [TextEvent.decode(r.value) for r in system.read(system.settings.kafka.texts) if r.value]
    texts = [event.text for event in values if event.context == context]
    assert sorted(texts) == sorted(f"killed text {i}" for i in range(count))
