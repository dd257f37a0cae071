"""A real worker that kills itself (SIGKILL) at a chosen point: `python -m tests.acceptance.saboteur POINT N`.

The N-th time the point is reached is the last thing the process does. What runs up to there is the
product's own code, put together by its own wiring.
"""

from __future__ import annotations

import importlib
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

POINTS: dict[str, tuple[str, str, str, str, str]] = {
    # point: worker, module, class or module in it, method, when
    "before-append": ("ingest", "hurnet_stream.adapters.redis", "RedisEntryStore", "append", "before"),
    "after-append": ("ingest", "hurnet_stream.adapters.redis", "RedisEntryStore", "append", "after"),
    "before-delete": ("ingest", "hurnet_stream.adapters.redis", "RedisEntryStore", "delete", "before"),
    "after-delete": ("ingest", "hurnet_stream.adapters.redis", "RedisEntryStore", "delete", "after"),
    "before-erase": ("solver", "hurnet_stream.adapters.redis", "RedisEntryStore", "erase", "before"),
    "in-erase": ("solver", "hurnet_stream.adapters.redis", "RedisEntryStore", "erase", "in"),
    "before-a-run": (
        "solver",
        "hurnet_stream.adapters.redis.compacting",
        "ShardCompaction",
        "_replace_first_run",
        "before",
    ),
    "after-a-run": (
        "solver",
        "hurnet_stream.adapters.redis.compacting",
        "ShardCompaction",
        "_replace_first_run",
        "after",
    ),
    # A file is written, then a script names it; a file that lost rows is removed later.
    "before-a-file": ("solver", "hurnet_stream.adapters.segments.folder", "FolderFiles", "put", "before"),
    "after-a-file": ("solver", "hurnet_stream.adapters.segments.folder", "FolderFiles", "put", "after"),
    "after-sealing": ("solver", "hurnet_stream.adapters.redis.sealing", "Sealer", "_replace", "after"),
    "after-removing": ("solver", "hurnet_stream.adapters.segments.folder", "FolderFiles", "remove", "after"),
    "after-dead-letters": (
        "ingest",
        "hurnet_stream.adapters.kafka.writing.sink",
        "KafkaSink",
        "send",
        "after",
    ),
    "before-checkpoint": (
        "solver",
        "hurnet_stream.adapters.redis",
        "RedisWeightsStore",
        "save_checkpoint",
        "before",
    ),
    "in-checkpoint": ("solver", "hurnet_stream.adapters.redis", "RedisWeightsStore", "save_checkpoint", "in"),
    "after-checkpoint": (
        "solver",
        "hurnet_stream.adapters.redis",
        "RedisWeightsStore",
        "save_checkpoint",
        "after",
    ),
    # Answers and offsets are with the brokers, the transaction is open.
    "before-commit": (
        "responder",
        "kafka.producer.transaction_manager",
        "TransactionManager",
        "begin_commit",
        "before",
    ),
    "after-commit": (
        "responder",
        "hurnet_stream.adapters.kafka.exchange.transactional",
        "TransactionalExchange",
        "deliver",
        "after",
    ),
    "before-teaching": (
        "feedback",
        "kafka.producer.transaction_manager",
        "TransactionManager",
        "begin_commit",
        "before",
    ),
    "in-teaching": (
        "feedback",
        "hurnet_stream.adapters.kafka.exchange.transactional",
        "TransactionalExchange",
        "deliver",
        "in",
    ),
    "after-teaching": (
        "feedback",
        "hurnet_stream.adapters.kafka.exchange.transactional",
        "TransactionalExchange",
        "deliver",
        "after",
    ),
    # An index is saved: its files are on the disk, the list of them is, removed rows are wiped.
    "before-index-saved": (
        "responder",
        "hurnet_stream.adapters.shelf",
        "saved_list",
        "write",
        "before",
    ),
    "after-index-saved": (
        "responder",
        "hurnet_stream.adapters.shelf",
        "saved_list",
        "write",
        "after",
    ),
    "after-index-wiped": (
        "responder",
        "hurnet_stream.adapters.shelf.folder",
        "FolderShelf",
        "_remove_all_but",
        "before",
    ),
    # A request is claimed (put), written in a transaction, and its places noted in the claim (put again).
    "before-claiming": ("gateway", "hurnet_stream.adapters.redis", "RedisRequestClaims", "put", "before"),
    "after-claiming": ("gateway", "hurnet_stream.adapters.redis", "RedisRequestClaims", "put", "after"),
    "before-writing": (
        "gateway",
        "kafka.producer.transaction_manager",
        "TransactionManager",
        "begin_commit",
        "before",
    ),
    "in-writing": ("gateway", "hurnet_stream.adapters.kafka", "KafkaAtomicSink", "write", "in"),
    "after-writing": ("gateway", "hurnet_stream.adapters.kafka", "KafkaAtomicSink", "write", "after"),
    "stopped-before-writing": (
        "gateway",
        "kafka.producer.transaction_manager",
        "TransactionManager",
        "begin_commit",
        "stop",
    ),
}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    def wait_and_die() -> None:
        time.sleep(random.uniform(0.0, 0.01))
        _die()

    threading.Thread(target=wait_and_die).start()


def _sabotaged(method: Callable[..., Any], when: str, nth: int) -> Callable[..., Any]:
    calls = itertools.count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        last = next(calls) == nth
        if last and when == "before":
            _die()
        if last and when == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)  # it goes on if somebody continues it
            time.sleep(1.0)  # this thread may run on for a while before the process stops
        if last and when == "in":
            _die_soon()
        result = method(*args, **kwargs)
        if last and when == "after":
            _die()
        return result

    return call


def main(point: str, nth: int) -> int:
    worker, module, kind, name, when = POINTS[point]
    owner = getattr(importlib.import_module(module), kind)
    setattr(owner, name, _sabotaged(getattr(owner, name), when, nth))
    from hurnet_stream.settings import settings
    from hurnet_stream.wiring import gateway, running

    chosen = settings.load()
    return gateway.run_gateway(chosen) if worker == "gateway" else running.run(worker, chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
