"""Ingest that has its texts embedded by a real Dask cluster, whose parts are killed one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders import load
from tests.acceptance.system import Running, System, wait_for
from tests.dask import FOREIGN, POISONED, DaskCluster

PATIENCE_S = 120.0


def taught(system: System, wave: int, number: int = 120) -> list[str]:
    texts = [f"statement number {i} of wave {wave}" for i in range(number)]
    system.teach([TextEvent(text=text) for text in texts])
    return texts


def says(running: Running, what: str) -> None:
    def said() -> bool:
        assert running.process.poll() is None, running.said()[-3000:]
        return what in running.said()

    wait_for(said, PATIENCE_S, f"{running.name} says: {what}")


def all_in(system: System, texts: list[str], ingest: Running) -> None:
    def done() -> bool:
        assert ingest.process.poll() is None, ingest.said()[-3000:]
        return Counter(system.texts_in_store()) == Counter(texts)

    wait_for(done, PATIENCE_S, f"{len(texts)} texts in, once each; ingest said: {ingest.said()[-3000:]}")


def test_ids_in_are_ids_out_whatever_becomes_of_the_cluster(system: System, tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as dask:
        ingest = system.start("ingest", **dask.variables)  # before there is a cluster: it is waited for
        says(ingest, "Dask is failing")
        scheduler, worker = dask.scheduler(), dask.worker()
        texts = taught(system, 0)
        all_in(system, texts, ingest)

        stranger = dask.worker(FOREIGN)
        says(stranger, "Registered to")
        texts += taught(system, 1)
        all_in(system, texts, ingest)
        assert "a worker of Dask is left alone" in ingest.said()

        worker.kill()  # the stranger alone is left
        texts += taught(system, 2)
        wait_for(
            lambda: "no worker of Dask" in ingest.get("/readyz")[1], PATIENCE_S, "it says who is missing"
        )
        dask.worker()
        all_in(system, texts, ingest)

        scheduler.kill()
        texts += taught(system, 3)
        ingest.kill()  # with texts in hand, as likely as not
        ingest = system.start("ingest", **dask.variables)
        says(ingest, "Dask is failing")
        dask.scheduler()
        dask.worker(POISONED, nanny=True)
        all_in(system, texts, ingest)
        assert not system.dead_letters()

        # A text that ends its worker each time is put aside, and the others go on.
        texts += taught(system, 4, 20)
        system.teach([TextEvent(text="this is poison")])
        texts += taught(system, 5, 20)
        all_in(system, texts, ingest)
        wait_for(system.dead_letters, PATIENCE_S, "the text that ends workers is a dead letter")
        assert [letter.reason for letter in system.dead_letters()] == ["embedder-failed"]
    embedder = load(system.settings.embedder.name)
    for batch in system.batches():
        held = [entry.text for entry in batch.entries]
        assert np.array_equal(batch.vectors, embedder.embed(held)), "each vector is that of its own text"
