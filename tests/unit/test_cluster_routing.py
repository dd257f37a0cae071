"""On a Redis Cluster: which keys share a slot, which server gets a command, and what may be sent again."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError

from hurnet_stream.adapters.redis.cluster import ClusterClient, key_of
from hurnet_stream.adapters.redis.keys import STAYS, Keys
from hurnet_stream.adapters.redis.primaries import worst
from hurnet_stream.adapters.redis.scripts import SHARD_KEYS
from hurnet_stream.ports import StoreServer


def slot(key: str) -> int:
    found: int = key_slot(key.encode())
    return found


@pytest.mark.parametrize("prefix", ["p", "p@1", "p.aside-0af", "p@12.aside-0af.1"])
def test_the_store_and_its_solver_share_a_slot_with_every_generation(prefix: str) -> None:
    keys = Keys(prefix, cluster=True)
    ours = keys.meta, keys.shards, keys.contexts, keys.lease("solver"), keys.progress("g"), keys.working("r")
    of_solver = keys.solver("owner"), keys.solver("sums", "faq"), keys.ready, keys.generations
    assert {slot(key) for key in (*ours, *of_solver)} == {slot("{p}")}
    assert {slot(keys.shard(3, name)) for name in (*SHARD_KEYS, "fence")} == {slot("{shard-3}")}
    assert all(key.startswith(f"{prefix}:") for key in ours)


def test_what_is_not_the_store_s_stays_on_a_cluster_too() -> None:
    keys = Keys("p", cluster=True)
    stay = keys.lease("solver"), keys.ready, keys.generations, keys.request("d"), keys.working("ingest")
    assert all(STAYS.match(key.encode()) for key in stay)
    go = keys.meta, keys.solver("owner"), keys.shard(0, "state"), keys.repair
    assert not any(STAYS.match(key.encode()) for key in go)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("GET", "k"), "k"),
        (("EVAL", "return 1", 2, "a", "b", "x"), "a"),
        (("EVAL", "return 1", 0, "x"), None),
        (("XREAD", b"COUNT", "9", b"STREAMS", "s", "0-0"), "s"),
        (("TIME",), None),
        (("CONFIG GET", "append*"), None),
        (("MEMORY USAGE", "k"), "k"),
    ],
)
def test_the_key_of_a_command_is_known_by_its_place(words: tuple[Any, ...], key: Any) -> None:
    assert key_of(words) == key


class Moving(ClusterClient):
    """A cluster that has moved the slot of {b} away. `executed` are commands, in their order."""

    def __init__(self, refuses: set[str]) -> None:
        super().__init__([("h", 1)], "{a}", {})
        self.refuses, self.executed = refuses, list[str]()

    def _exchanged(self, commands: Any, slots: Any) -> list[Any]:
        return [self._reply(words) for words, _ in commands]

    def _reply(self, words: Any) -> object:
        if words[1] in self.refuses:
            return MovedError(f"{slot(words[1])} other:1")
        self.executed.append(words[1])
        return words[1]

    def _follow(self, error: MovedError) -> None:
        self.refuses = set()


def test_commands_of_a_slot_that_has_moved_are_sent_again_in_their_order() -> None:
    cluster = Moving({"{b}1", "{b}2"})
    pipe = cluster.pipeline(transaction=False)
    for key in ("{b}1", "{a}1", "{b}2"):
        pipe.get(key)
    assert pipe.execute() == ["{b}1", "{a}1", "{b}2"]
    assert cluster.executed == ["{a}1", "{b}1", "{b}2"]


def test_a_slot_of_which_something_was_executed_is_left_to_the_caller() -> None:
    cluster = Moving({"{b}2"})
    pipe = cluster.pipeline(transaction=False)
    pipe.get("{b}1").get("{b}2")
    with pytest.raises(MovedError):
        pipe.execute()
    assert cluster.executed == ["{b}1"]


def test_of_several_servers_the_worst_is_told() -> None:
    small, full = StoreServer(10, 100, True, 1), StoreServer(90, 100, None, 2)
    assert worst([small, full]) == StoreServer(90, 100, True, 1)
    assert worst([small, StoreServer(saved=False)]).saved is False
    assert worst([]) == StoreServer()
