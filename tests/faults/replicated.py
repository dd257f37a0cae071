"""What a system must hold on servers that replicate: the same for Sentinel and for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress

import redis

from hurnet_stream.adapters.redis import connect
from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import PARTITIONS, Running, System, wait_for
from tests.background import again_and_again
from tests.faults.test_outages import Sent, check_books, questions, statements
from tests.replicating import client_of, cut_off

WORKERS = ("ingest", "solver", "responder")


def streams(system: System) -> list[str]:
    """The keys of the shards' items."""
    with closing(connect(system.settings.redis)) as connection:
        return [connection.keys.shard(partition, "stream") for partition in range(PARTITIONS)]


def items(server: ValkeyServer, keys: Iterable[str]) -> int:
    """How many items this server has of these streams, be it a primary or a replica."""
    with client_of(server) as client:
        with suppress(redis.ResponseError):  # outside of a cluster replicas may always be read
            client.readonly()
        return sum(client.xlen(key) for key in keys)


@contextmanager
def load(system: System) -> Iterator[Sent]:
    """Texts and questions until the end of the block."""
    sent = Sent()

    def send() -> None:
        texts, queries = statements(len(sent.texts), 30), questions(len(sent.queries), 10)
        system.teach(texts)
        sent.texts += texts
        system.ask(queries)
        sent.queries += queries

    with again_and_again(send, 0.1):
        yield sent


def under_load(system: System, disturb: Callable[[], object]) -> None:
    """Whatever is done to the servers: each text is in once, each question is answered once, statistics are
    those of a clean run, and no worker ended."""
    system.create_topics()
    workers = [system.start(name).wait_ready() for name in WORKERS]
    with load(system) as sent:
        disturb()
    check_books(system, sent)
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    end(workers)


def lose_acknowledged(keys: Iterable[str], primary: ValkeyServer, replicas: Iterable[ValkeyServer]) -> None:
    """Cut the replicas off, and wait until the primary has acknowledged what none of them has."""
    some_more(lambda: items(primary, keys), 3)
    cut_off(primary)
    some_more(lambda: items(primary, keys), 3)
    acknowledged = items(primary, keys)
    assert all(items(replica, keys) < acknowledged for replica in replicas)


def end(workers: Iterable[Running]) -> None:
    for worker in workers:
        worker.wait_ready()
        assert worker.terminate() == 0, worker.said()[-3000:]


def some_more(count: Callable[[], int], more: int) -> None:
    before = count()
    wait_for(lambda: count() >= before + more, what=f"{more} more")
