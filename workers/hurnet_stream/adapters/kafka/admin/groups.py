"""Consumer groups seen from outside: who is in them, what each member reads, how far the group has come."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.errors import ConfigurationError

_PAUSE_S = 0.2
_NO_GROUP = kafka_errors.GroupIdNotFoundError.__name__


@dataclass(frozen=True, slots=True)
class Member:
    """A running worker, as its group knows it."""

    client: str
    host: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The members of a group, and the next offset that it has committed of each partition of its topic."""

    name: str
    topic: str
    members: tuple[Member, ...]
    committed: Mapping[int, int]


def groups(admin: Any, topics: Mapping[str, str], patience_s: float) -> list[Group]:
    """The groups that are named in `topics`, which holds the topic that each of them reads. A group that
    nobody was ever in has no members.

    Raises as the client does, and `ConfigurationError` if we may not look.
    """
    described = _described(admin, list(topics), patience_s)
    offsets = admin.list_group_offsets(dict.fromkeys(topics))
    return [_group(name, topic, described[name], offsets.get(name, {})) for name, topic in topics.items()]


def _described(admin: Any, names: list[str], patience_s: float) -> Mapping[str, Any]:
    """The brokers' description of each group, by its name."""
    deadline = time.monotonic() + patience_s
    described: Mapping[str, Any] | None = None
    while described is None:
        try:
            described = admin.describe_groups(names)
        except kafka_errors.CoordinatorNotAvailableError:
            # On a new cluster the brokers first create the topic that they keep groups in.
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
    for name, group in described.items():
        if group["error"] and _NO_GROUP not in group["error"]:
            raise ConfigurationError(f"looking up the consumer group {name}: {group['error']}")
    return described


def _group(name: str, topic: str, described: Any, offsets: Mapping[TopicPartition, Any]) -> Group:
    members = tuple(_member(member, topic) for member in described["members"])
    committed = {at.partition: commit.offset for at, commit in offsets.items() if at.topic == topic}
    return Group(name, topic, members, committed)


def _member(described: Any, topic: str) -> Member:
    # A member that is still joining has no assignment.
    assigned = (described["member_assignment"] or {}).get("assigned_partitions", ())
    partitions = [p for each in assigned if each["topic"] == topic for p in each["partitions"]]
    return Member(described["client_id"], described["client_host"].lstrip("/"), tuple(sorted(partitions)))
