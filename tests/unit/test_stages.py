"""Phases of turns and calls of the store: each is measured once, whatever comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram

from hurnet_stream.adapters.redis import RedisEntryStore, RedisLeaseStore, RedisWeightsStore
from hurnet_stream.adapters.redis.calls import NO_ROUND_TRIP, op_of
from hurnet_stream.adapters.redis.connection import guarded
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.errors import Superseded
from hurnet_stream.metrics.roles import ROLES
from hurnet_stream.metrics.stages import KEPT_MOST, Stages
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.ports import Interval, Refused
from tests.worlds.everybody import everybody_worked


def stages() -> Stages:
    return Stages(Histogram("seconds", "Seconds.", ["phase"], registry=CollectorRegistry()), ["a", "b"])


def counts(registry: CollectorRegistry, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """How many were observed, by labels, without those of which there were none."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{name}_count" and sample.value
    }


def test_a_phase_is_measured_also_if_it_fails() -> None:
    stage = stages()
    seconds = stage("a")._seconds
    with pytest.raises(ZeroDivisionError), stage("a"):
        raise ZeroDivisionError
    with stage("a"):
        pass
    assert seconds._sum.get() > 0
    assert sum(bucket.get() for bucket in seconds._buckets) == 2


def test_a_phase_that_a_role_does_not_have_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        stages()("c")


def test_intervals_are_kept_only_if_somebody_wants_them_and_for_one_turn() -> None:
    stage = stages()
    with stage("a"):
        pass
    assert stage.kept == []
    stage.keeps = True
    with stage("a"):
        pass
    with stage("b"):
        pass
    assert [interval.phase for interval in stage.kept] == ["a", "b"]
    assert stage.kept[0].began <= stage.kept[0].ended <= stage.kept[1].began
    stage.begin_turn()
    assert stage.kept == []
    for _ in range(2 * KEPT_MOST):
        stage.keep(Interval("a", 0, 1))
    assert len(stage.kept) == KEPT_MOST


def test_every_phase_of_every_role_is_measured_where_it_happens() -> None:
    """In a world in which all of them happen, each is in the metrics, and no other."""
    for role, metrics in everybody_worked().items():
        phases = counts(metrics.registry, "hurnet_turn_seconds", "phase")
        assert {phase for (phase,) in phases} == set(ROLES[role].PHASES), role


@dataclass
class _Connection:
    on_call: Any

    def used(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()


class _Store:
    def __init__(self, metrics: StoreMetrics) -> None:
        self.connection: Any = _Connection(metrics.store_called)

    @guarded
    def append(self, result: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    @guarded
    def entry(self) -> None:
        """Looks at something."""

    @guarded
    def incarnation(self) -> str:
        return "known"


def test_a_call_of_the_store_is_measured_by_what_it_is_for_and_how_it_went() -> None:
    metrics = StoreMetrics()
    store = _Store(metrics)
    store.append("done")
    store.append(Refused(ShardState()))
    for error in (Superseded("another"), OSError("away")):
        with pytest.raises(type(error)):
            store.append(error)
    store.entry()
    store.incarnation()
    assert counts(metrics.registry, "hurnet_store_seconds", "op", "outcome") == {
        ("append", "ok"): 1,
        ("append", "refused"): 2,
        ("append", "failed"): 1,
        ("read", "ok"): 1,
    }


def test_what_changes_the_store_is_never_taken_for_a_look() -> None:
    looks = {
        *("open", "identity", "log", "bind", "states", "state", "deletion_part", "contexts", "holdings"),
        *(
            "pending_erasures",
            "oldest_deletion_ms",
            "entry",
            "was_deleted",
            "progress",
            "keys_mode",
            "under_keys",
            "topics",
            "expired",
            "oldest",
            "audit",
            "audit_of",
            "versions",
        ),
        *(
            "compacted",
            "sealed",
            "items",
            "known_by_weights",
            "published_ms",
            "weights",
            "mix_versions",
            "mix",
            "mix_of_version",
            "holder",
        ),
    }
    methods = {
        name
        for kind in (RedisEntryStore, RedisWeightsStore, RedisLeaseStore)
        for name, method in vars(kind).items()
        if hasattr(method, "__wrapped__")
    }
    # One that is new is named in adapters/redis/calls.py if it writes, and here if it only looks.
    assert {name for name in methods if op_of(name) == "read"} == looks | NO_ROUND_TRIP
