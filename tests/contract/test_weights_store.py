"""What every store of checkpoints and weights keeps to; the real one also when damaged or interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import redis

from hurnet_stream.adapters.redis import audit as audit_codec
from hurnet_stream.adapters.redis import checkpoint as adapter
from hurnet_stream.adapters.redis import connect
from hurnet_stream.adapters.redis import published as wire
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.commands import contexts
from hurnet_stream.core.formats import NewerFormat
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import Weights
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Deletion, EmbedderIdentity, LogIdentity, ShardState
from hurnet_stream.errors import StoreError, Superseded, TransientError, Unreadable, UpgradeNeeded
from hurnet_stream.overview.system_status import Status, read_store
from hurnet_stream.ports import (
    MIXES_KEPT,
    Checkpoint,
    DeletionAudit,
    PublishedMix,
    PublishedWeights,
    WeightsStore,
)
from tests.contract.stores import RedisStores, Stores

DIMENSION = 5


def learn(statistics: Statistics, seed: int, rows: int = 20, answers: int = 8) -> None:
    chance = np.random.default_rng(seed)
    x = chance.integers(-9_000, 9_000, (rows, DIMENSION), np.int16)
    statistics.add(x, [f"resposta {(seed + row) % answers}" for row in range(rows)])


def checkpoint_of(seeds: dict[str, list[int]], watermark: int = 7) -> Checkpoint:
    checkpoint = Checkpoint(shards={0: ShardState(watermark, 3, "e"), 12: ShardState(2**40, 9, "e")})
    for context, parts in seeds.items():
        checkpoint.statistics[context] = Statistics(DIMENSION)
        for seed in parts:
            learn(checkpoint.statistics[context], seed)
    return checkpoint


def claimed(stores: Stores, owner: str = "solver-1") -> WeightsStore:
    store = stores.weights()
    store.claim(owner)
    return store


def solved(seed: int = 1) -> Weights:
    statistics = Statistics(DIMENSION)
    learn(statistics, seed)
    return solve(statistics, device="cpu")


def published(
    version: int, watermarks: dict[int, int] | None = None, context: str = "faq"
) -> PublishedWeights:
    return PublishedWeights(context, version, solved(version), watermarks or {0: version}, 1_000 + version)


def same(one: PublishedWeights | None, other: PublishedWeights) -> bool:
    return (
        one is not None
        and dataclasses.replace(one, weights=other.weights) == other
        and one.weights.certificate == other.weights.certificate
        and np.array_equal(one.weights.projection, other.weights.projection)
    )


def test_what_weights_in_force_know_is_told_for_all_contexts_together(stores: Stores) -> None:
    store = claimed(stores)
    assert store.known_by_weights() == {}
    for weights in (
        published(1, {0: 5, 1: 2}, context="faq"),
        published(1, {0: 3, 1: 7}, context="x"),
        published(1, {0: 9}, context="gone"),
    ):
        store.publish(weights)
    store.withdraw("gone", 2)
    assert store.known_by_weights() == {0: 5, 1: 7}


def test_without_a_checkpoint_there_is_an_empty_one(stores: Stores) -> None:
    assert claimed(stores).load_checkpoint(DIMENSION) == Checkpoint()


def test_a_checkpoint_comes_back_as_it_was_saved(stores: Stores) -> None:
    checkpoint = checkpoint_of({"faq": [1, 2], "piadas": [3], "empty": []})
    claimed(stores).save_checkpoint(checkpoint)
    assert not any(statistics.changed for statistics in checkpoint.statistics.values())
    loaded = claimed(stores, "solver-2").load_checkpoint(DIMENSION)
    assert loaded == checkpoint
    assert not any(statistics.changed for statistics in loaded.statistics.values())
    learn(checkpoint.statistics["faq"], 4)
    assert claimed(stores, "solver-3").load_checkpoint(DIMENSION) == loaded


def test_the_dimension_must_be_the_context_s(stores: Stores) -> None:
    store = claimed(stores)
    store.save_checkpoint(checkpoint_of({"faq": [1]}))
    with pytest.raises(StoreError, match="dimension"):
        store.load_checkpoint(DIMENSION + 1)


def test_a_checkpoint_of_other_features_is_set_aside_until_it_is_replaced(stores: Stores) -> None:
    store = claimed(stores)
    assert store.load_checkpoint(DIMENSION, "gaussian:256/ab") == Checkpoint(features="gaussian:256/ab")
    store.save_checkpoint(checkpoint_of({"faq": [1], "old": [2]}))
    store = claimed(stores, "solver-2")
    assert store.load_checkpoint(DIMENSION + 1, "gaussian:256/ab") == Checkpoint(features="none")
    checkpoint = checkpoint_of({"faq": [3]})
    checkpoint.features = "gaussian:256/ab"
    store.save_checkpoint(checkpoint)
    store = claimed(stores, "solver-3")
    assert store.load_checkpoint(DIMENSION, "gaussian:256/ab") == checkpoint
    assert store.load_checkpoint(DIMENSION) == Checkpoint(features="gaussian:256/ab")


def test_answers_that_are_gone_are_dropped(stores: Stores) -> None:
    store, rows = claimed(stores), np.ones((2, DIMENSION), np.int16)
    checkpoint = checkpoint_of({"faq": [1]})
    checkpoint.statistics["faq"].add(rows, ["a", "b"])
    store.save_checkpoint(checkpoint)
    checkpoint.statistics["faq"].subtract(rows, ["a", "b"])
    store.save_checkpoint(checkpoint)
    loaded = claimed(stores, "solver-2").load_checkpoint(DIMENSION)
    assert loaded == checkpoint == checkpoint_of({"faq": [1]})


def test_nothing_stale_outlives_a_store_that_lost_its_tail(stores: Stores) -> None:
    store, rows = claimed(stores), np.ones((1, DIMENSION), np.int16)
    checkpoint = checkpoint_of({"faq": [1], "x": [2]})
    checkpoint.statistics["faq"].add(rows, ["a"])
    store.save_checkpoint(checkpoint)
    snapshot = stores.snapshot()
    checkpoint.statistics["faq"].subtract(rows, ["a"])
    store.save_checkpoint(checkpoint)
    stores.restore(snapshot)
    store.save_checkpoint(checkpoint)
    assert claimed(stores, "solver-2").load_checkpoint(DIMENSION) == checkpoint_of({"faq": [1], "x": [2]})


def test_statistics_begun_anew_between_saves_leave_nothing_of_the_old(stores: Stores) -> None:
    store = claimed(stores)
    checkpoint = checkpoint_of({"faq": [1], "x": [2]})
    store.save_checkpoint(checkpoint)
    checkpoint.statistics["faq"] = Statistics(DIMENSION)
    checkpoint.statistics["faq"].add(np.ones((1, DIMENSION), np.int16), ["new"])
    store.save_checkpoint(checkpoint)
    assert claimed(stores, "solver-2").load_checkpoint(DIMENSION) == checkpoint


def test_panes_come_and_go(stores: Stores) -> None:
    store = claimed(stores)
    checkpoint = checkpoint_of({"faq@98": [1], "faq@99": [2, 3], "x@-1": [4]})
    checkpoint.pane, checkpoint.features = 99, "none, half-life 60000 ms"
    store.save_checkpoint(checkpoint)
    del checkpoint.statistics["faq@98"]
    checkpoint.statistics["faq@100"] = checkpoint_of({"faq@100": [5]}).statistics["faq@100"]
    checkpoint.pane = 100
    store.save_checkpoint(checkpoint)
    found = claimed(stores, "solver-2").load_checkpoint(DIMENSION, checkpoint.features)
    assert found == checkpoint
    assert found.pane == 100
    assert claimed(stores, "solver-3").load_checkpoint(DIMENSION) == Checkpoint(features=checkpoint.features)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_newest_save_is_loaded(stores: Stores, seed: int) -> None:
    """Random growth, removals, restarts and stores that lost their newest saves, against what was saved."""
    chance, rows = random.Random(seed), np.full((1, DIMENSION), 7, np.int16)
    store = claimed(stores, "0")
    checkpoint = store.load_checkpoint(DIMENSION)
    kept: tuple[Any, Checkpoint] = stores.snapshot(), Checkpoint()
    last = Checkpoint()
    for number in range(1, 40):
        statistics = checkpoint.statistics.setdefault(chance.choice("abc"), Statistics(DIMENSION))
        learn(statistics, number, rows=chance.randint(0, 9))
        statistics.add(rows, ["once"])
        if chance.random() < 0.5:
            statistics.subtract(rows, ["once"])
        if chance.random() < 0.2:
            checkpoint.statistics.pop(chance.choice("abc"), None)
        checkpoint.pane = number
        checkpoint.shards[number % 3] = ShardState(number, number, "e")
        if chance.random() < 0.6:
            store.save_checkpoint(checkpoint)
            last = copied(checkpoint)
        match chance.choice(["restart", "keep", "lose", *["go on"] * 6]):
            case "restart":
                store = claimed(stores, str(number))
                checkpoint = store.load_checkpoint(DIMENSION)
                assert checkpoint == last
            case "keep":
                kept = stores.snapshot(), last
            case "lose":
                stores.restore(kept[0])
                last = kept[1]
                store.claim(str(number))
    store.save_checkpoint(checkpoint)
    assert claimed(stores, "end").load_checkpoint(DIMENSION) == checkpoint


def copied(checkpoint: Checkpoint) -> Checkpoint:
    statistics = {context: statistics.copy() for context, statistics in checkpoint.statistics.items()}
    return Checkpoint(statistics, dict(checkpoint.shards), pane=checkpoint.pane)


def test_a_claim_fences_every_earlier_one(stores: Stores) -> None:
    old = claimed(stores)
    checkpoint = checkpoint_of({"faq": [1]})
    old.save_checkpoint(checkpoint)
    new = claimed(stores, "solver-2")
    learn(checkpoint.statistics["faq"], 2)
    with pytest.raises(Superseded, match="solver-2"):
        old.save_checkpoint(checkpoint)
    with pytest.raises(Superseded, match="solver-2"):
        old.publish(published(1))
    assert checkpoint.statistics["faq"].changed
    assert new.load_checkpoint(DIMENSION) == checkpoint_of({"faq": [1]})
    assert new.versions() == {}
    with pytest.raises(Superseded):
        stores.weights().save_checkpoint(checkpoint)


def test_weights_come_back_as_they_were_published(stores: Stores) -> None:
    store, reader = claimed(stores), stores.weights()
    assert reader.versions() == {}
    assert reader.weights("faq") is None
    for weights in (
        published(1, {0: 5, 3: 2**50}),
        published(2, {0: 5, 3: 2**50, 4: 0}),
        published(1, context="x"),
    ):
        store.publish(weights)
        assert same(reader.weights(weights.context), weights)
    assert reader.versions() == {"faq": 2, "x": 1}


@pytest.mark.parametrize(
    ("version", "watermarks"),
    [(1, {0: 9, 1: 9}), (2, {0: 9, 1: 9}), (4, {0: 9, 1: 9}), (3, {0: 9, 1: 4}), (3, {0: 9})],
)
def test_weights_that_cannot_follow_are_refused(
    stores: Stores, version: int, watermarks: dict[int, int]
) -> None:
    store = claimed(stores)
    store.publish(published(1, {0: 3}))
    last = published(2, {0: 5, 1: 5})
    store.publish(last)
    with pytest.raises(Superseded):
        store.publish(published(version, watermarks))
    assert same(stores.weights().weights("faq"), last)
    assert store.versions() == {"faq": 2}
    store.publish(published(3, {0: 5, 1: 5}))


def test_a_publication_whose_fate_is_unknown_can_be_repeated(stores: Stores) -> None:
    store, weights = claimed(stores), published(1)
    store.publish(weights)
    store.publish(weights)
    assert store.versions() == {"faq": 1}


def publish_all(store: WeightsStore, weights: Iterable[PublishedWeights]) -> None:
    for each in weights:
        store.publish(each)


def test_readers_never_see_half_of_a_publication(stores: Stores) -> None:
    store, reader = claimed(stores), stores.weights()
    expected = {version: published(version) for version in range(1, 31)}
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish_all, store, expected.values())
        while not publishing.done():
            if (seen := reader.weights("faq")) is not None:
                assert same(seen, expected[seen.version])
        publishing.result()


# What only a server can do.


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, done: bool) -> None:
    """Fail transaction number `at`, before or (its answer is lost) after it was carried out."""
    real, count = redis.client.Pipeline.execute, 0

    def execute(pipe: Any, raise_on_error: bool = True) -> Any:
        nonlocal count
        count += 1
        if count != at:
            return real(pipe, raise_on_error)
        if done:
            real(pipe, raise_on_error)
        raise redis.TimeoutError("lost")

    monkeypatch.setattr(redis.client.Pipeline, "execute", execute)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("first", [False, True])
def test_an_interrupted_save_is_all_or_nothing_and_can_be_repeated(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch, at: int, done: bool, first: bool
) -> None:
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq": [1], "x": [2]})
    before = Checkpoint()
    if not first:
        store.save_checkpoint(checkpoint)
        before = copied(checkpoint)
        learn(checkpoint.statistics["faq"], 3)
        checkpoint.shards[0] = ShardState(99, 99, "e")
    monkeypatch.setattr(adapter, "TRANSACTION_WRITES", 5)
    with monkeypatch.context() as patch:
        interrupt(patch, at, done)
        try:
            store.save_checkpoint(checkpoint)
            survived = True
        except TransientError:
            survived = False
    loaded = redis_stores.weights().load_checkpoint(DIMENSION)
    assert loaded in ([checkpoint] if survived else [before, Checkpoint(), checkpoint])
    learn(checkpoint.statistics["faq"], 4)  # more comes in before it is tried again
    store.save_checkpoint(checkpoint)
    assert redis_stores.weights().load_checkpoint(DIMENSION) == checkpoint


def test_a_repeat_after_a_lost_answer_writes_only_what_changed(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq": [1]})
    store.save_checkpoint(checkpoint)
    learn(checkpoint.statistics["faq"], 2)
    with monkeypatch.context() as patch:
        interrupt(patch, at=1, done=True)
        with pytest.raises(TransientError):
            store.save_checkpoint(checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(adapter.CheckpointStore, "_save_whole", None)
        store.save_checkpoint(checkpoint)
    assert redis_stores.weights().load_checkpoint(DIMENSION) == checkpoint


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("most", "at"), [(1_000, 1), *((5, at) for at in range(1, 9))])
def test_what_a_save_of_unknown_fate_left_does_not_outlive_the_next(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch, most: int, at: int, done: bool
) -> None:
    """Changes are in one transaction; a whole checkpoint is in eight, the last of which makes it count."""
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq": [1], "old": [2]})
    store.save_checkpoint(checkpoint)
    del checkpoint.statistics["old"]
    for context in ("brief", "new"):
        checkpoint.statistics[context] = checkpoint_of({context: [3]}).statistics[context]
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "TRANSACTION_WRITES", most)
        interrupt(patch, at, done)
        with pytest.raises(TransientError):
            store.save_checkpoint(checkpoint)
    del checkpoint.statistics["brief"]
    for context in ("new", "old"):
        checkpoint.statistics[context] = Statistics(DIMENSION)
        checkpoint.statistics[context].add(np.ones((1, DIMENSION), np.int16), ["only this"])
    store.save_checkpoint(checkpoint)
    assert redis_stores.weights().load_checkpoint(DIMENSION) == checkpoint


def test_statistics_that_are_dropped_do_not_cost_a_whole_write(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq@1": [1], "faq@2": [2]})
    store.save_checkpoint(checkpoint)
    del checkpoint.statistics["faq@1"]
    monkeypatch.setattr(adapter.CheckpointStore, "_save_whole", None)
    store.save_checkpoint(checkpoint)
    assert redis_stores.weights().load_checkpoint(DIMENSION) == checkpoint
    assert not any(b"faq@1" in key for key in redis_stores.held())


def test_a_save_writes_only_what_changed(redis_stores: RedisStores) -> None:
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq": [1], "x": [2]})
    store.save_checkpoint(checkpoint)
    checkpoint.statistics["faq"].add(np.ones((1, DIMENSION), np.int16), ["resposta 1"])
    with redis_stores.client.monitor() as monitor:
        store.save_checkpoint(checkpoint)
        redis_stores.client.echo("that was all")
        commands = iter(lambda: monitor.next_command()["command"], "ECHO that was all")
        assert " ".join(commands).count("resposta") == 1


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [False, True])
def test_a_transaction_that_executes_late_changes_nothing(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch, at: int, first: bool
) -> None:
    """A save is given up as lost and repeated; after `at` of its transactions one of the first's arrives."""
    store = claimed(redis_stores)
    checkpoint = checkpoint_of({"faq": [1]})
    if not first:
        store.save_checkpoint(checkpoint)
        learn(checkpoint.statistics["faq"], 2)
    key = f"{redis_stores.settings.prefix}:{{solver}}"
    late = redis_stores.client.pipeline()
    late.watch(f"{key}:owner", f"{key}:checkpoint")
    late.multi()
    late.hset(f"{key}:sums:faq", "resposta 1", "old")
    real, count = redis.client.Pipeline.execute, 0

    def execute(pipe: Any, raise_on_error: bool = True) -> Any:
        nonlocal count
        count += 1
        done = real(pipe, raise_on_error)
        if count == at:
            with pytest.raises(redis.WatchError):
                real(late)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(adapter, "TRANSACTION_WRITES", 5)
        patch.setattr(redis.client.Pipeline, "execute", execute)
        store.save_checkpoint(checkpoint)
    assert count >= at
    assert redis_stores.weights().load_checkpoint(DIMENSION) == checkpoint


def flip(stores: RedisStores, key: str, field: str) -> None:
    stored: Any = stores.client.hget(key, field)
    value = bytearray(stored)
    value[len(value) // 2] ^= 1
    stores.client.hset(key, field, bytes(value))


def damaged_gram(stores: RedisStores, key: str) -> None:
    flip(stores, f"{key}:grams", "faq")


def damaged_sum(stores: RedisStores, key: str) -> None:
    flip(stores, f"{key}:sums:faq", "resposta 1")


def lost_sum(stores: RedisStores, key: str) -> None:
    stores.client.hdel(f"{key}:sums:faq", "resposta 1")


def lost_shards(stores: RedisStores, key: str) -> None:
    stores.client.hdel(f"{key}:checkpoint", "shards")


def unreadable_shards(stores: RedisStores, key: str) -> None:
    stores.client.hset(f"{key}:checkpoint", "shards", "{")


def foreign_shards(stores: RedisStores, key: str) -> None:
    stores.client.hset(f"{key}:checkpoint", "shards", '{"0": [1, 2, 3, 4]}')


@pytest.mark.parametrize(
    "damage", [damaged_gram, damaged_sum, lost_sum, lost_shards, unreadable_shards, foreign_shards]
)
def test_a_damaged_checkpoint_is_told(
    redis_stores: RedisStores, damage: Callable[[RedisStores, str], None]
) -> None:
    store = claimed(redis_stores)
    store.save_checkpoint(checkpoint_of({"faq": [1]}))
    damage(redis_stores, f"{redis_stores.settings.prefix}:{{solver}}")
    with pytest.raises(StoreError, match="checkpoint is damaged"):
        store.load_checkpoint(DIMENSION)


def resigned(fields: dict[str, bytes], **changed: bytes) -> dict[bytes, bytes]:
    """As a hash holds them, some of them changed, under the digest that belongs to that."""
    fields = {name: value for name, value in fields.items() if name != "sha256"} | changed
    return {name.encode(): value for name, value in {**fields, "sha256": wire._digest(fields)}.items()}


def figures(fields: dict[str, bytes], **changed: object) -> bytes:
    return json.dumps({**json.loads(fields["certificate"]), **changed}).encode()


def test_what_a_newer_solver_added_to_weights_is_left_aside() -> None:
    weights = published(1)
    fields = wire.encode_weights(weights)
    certificate = figures(fields, a_new_figure=1.0, another={"of": ["any", None]}, ridge_chosen_by="magic")
    read = wire.decode_weights("faq", resigned(fields, certificate=certificate, added=b"later"))
    assert read.version == weights.version
    assert np.array_equal(read.weights.projection, weights.weights.projection)
    assert read.weights.certificate.condition == weights.weights.certificate.condition
    assert read.weights.certificate.ridge_chosen_by == "magic"


def test_figures_that_have_a_default_may_be_missing() -> None:
    fields = wire.encode_weights(published(2))
    kept = {name: value for name, value in json.loads(fields["certificate"]).items() if name != "seconds"}
    read = wire.decode_weights("faq", resigned(fields, certificate=json.dumps(kept).encode()))
    assert read.weights.certificate.seconds == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"condition": None},
        {"condition": "12"},
        {"condition": math.inf},
        {"residual": math.nan},
        {"count": [1]},
        {"answers": 1.5},
        {"features": 7},
        {"residual_exact": "yes"},
    ],
)
def test_figures_of_the_wrong_kind_are_refused(changed: dict[str, object]) -> None:
    fields = wire.encode_weights(published(2))
    with pytest.raises(ValueError, match=r"."):
        wire.decode_weights("faq", resigned(fields, certificate=figures(fields, **changed)))


@pytest.mark.parametrize("name", ["count", "condition", "residual", "device"])
def test_figures_that_must_be_there_are_missed(name: str) -> None:
    fields = wire.encode_weights(published(2))
    kept = {figure: value for figure, value in json.loads(fields["certificate"]).items() if figure != name}
    with pytest.raises(ValueError, match=name):
        wire.decode_weights("faq", resigned(fields, certificate=json.dumps(kept).encode()))


@pytest.mark.parametrize("projection", [b"", b"1234567", np.ones(3).tobytes(), np.full(25, np.nan).tobytes()])
def test_a_projection_that_is_none_is_refused(projection: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.decode_weights("faq", resigned(wire.encode_weights(published(2)), projection=projection))


def test_weights_of_a_newer_format_ask_for_an_upgrade(redis_stores: RedisStores) -> None:
    claimed(redis_stores).publish(published(1))
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:weights:faq", "format", "2")
    with pytest.raises(UpgradeNeeded, match=r"upgrade \(it needs format 2, this one speaks 1\)"):
        redis_stores.weights().weights("faq")


def test_a_checkpoint_of_a_newer_format_is_neither_read_nor_replaced(redis_stores: RedisStores) -> None:
    store = claimed(redis_stores)
    store.save_checkpoint(checkpoint_of({"faq": [1]}))
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:checkpoint", "format", "2")
    for features in ("none", "others"):
        with pytest.raises(UpgradeNeeded, match=r"upgrade \(it needs format 2, this one speaks 1\)"):
            store.load_checkpoint(DIMENSION, features)


def test_an_audit_says_what_it_knows_of_a_newer_one() -> None:
    audit = DeletionAudit(3, Deletion(12, 5, b"k" * 16, (1, 2)), 9, 2, {"faq": ("a", "b")}, {3: 12})
    fields = json.loads(audit_codec.encode_audit(audit))
    assert audit_codec.decode_audit(json.dumps({**fields, "added": "later"}).encode()) == audit
    fields["deletion"]["added"] = 1
    assert audit_codec.decode_audit(json.dumps(fields).encode()) == audit
    with pytest.raises(NewerFormat, match="upgrade"):
        audit_codec.decode_audit(json.dumps({**fields, "format": 2}).encode())


@pytest.mark.parametrize("raw", [b"", b"x", b"-3", b"1.5", b"9" * 5_000, b"\xff"])
def test_a_version_that_is_no_number_is_left_out_and_replaced(redis_stores: RedisStores, raw: bytes) -> None:
    store = claimed(redis_stores)
    for version in (1, 2):
        store.publish(published(version))
        store.publish(published(version, context="x"))
    key = f"{redis_stores.settings.prefix}:{{solver}}:versions"
    redis_stores.client.hset(key, "faq", raw)
    assert redis_stores.weights().versions() == {"x": 2}
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:weights:faq", "watermarks", raw)
    store.publish(published(1))
    assert redis_stores.weights().versions() == {"faq": 1, "x": 2}
    assert same(redis_stores.weights().weights("faq"), published(1))


@pytest.mark.parametrize(
    "field",
    ["format", "version", "watermarks", "published_ms", "certificate", "projection", "sha256"],
)
@pytest.mark.parametrize("gone", [False, True])
def test_damaged_weights_are_told(redis_stores: RedisStores, field: str, gone: bool) -> None:
    claimed(redis_stores).publish(published(1))
    key = f"{redis_stores.settings.prefix}:{{solver}}:weights:faq"
    if gone:
        redis_stores.client.hdel(key, field)
    else:
        flip(redis_stores, key, field)
    with pytest.raises(Unreadable, match=r"weights of context 'faq'"):
        redis_stores.weights().weights("faq")


def test_a_certificate_that_is_not_finite_is_refused(redis_stores: RedisStores) -> None:
    weights = published(1)
    certificate = dataclasses.replace(weights.weights.certificate, condition=math.inf)
    broken = dataclasses.replace(
        weights, weights=dataclasses.replace(weights.weights, certificate=certificate)
    )
    with pytest.raises(ValueError, match="JSON"):
        claimed(redis_stores).publish(broken)
    assert redis_stores.weights().versions() == {}


def test_commands_show_what_can_be_read_and_name_what_can_t(redis_stores: RedisStores) -> None:
    entries = redis_stores.entry_store()
    entries.open(EmbedderIdentity("hash", "f", DIMENSION))
    entries.admit(frozenset({"faq", "x"}), 9)
    store = claimed(redis_stores)
    store.publish(published(1))
    store.publish(published(1, context="x"))
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:{{solver}}:weights:faq", "format", "7")
    connection = connect(redis_stores.settings)
    found = Status()
    read_store(found, connection)
    assert [weights["context"] for weights in found.weights] == ["x"]
    assert len(found.problems) == 1
    assert "'faq': a newer hurnet wrote these weights: upgrade" in found.problems[0]
    assert [(held.context, held.weights) for held in contexts.gather(connection, {})] == [
        ("faq", None),
        ("x", 1),
    ]
    connection.close()


def test_what_a_newer_program_added_to_the_log_s_identity_is_left_aside(redis_stores: RedisStores) -> None:
    entries = redis_stores.entry_store()
    entries.open(EmbedderIdentity("hash", "f", DIMENSION))
    log = LogIdentity("cluster", "topic")
    entries.bind(log)
    key = f"{redis_stores.settings.prefix}:log"
    raw: Any = redis_stores.client.get(key)
    redis_stores.client.set(key, json.dumps({**json.loads(raw), "added": "later"}))
    assert redis_stores.entry_store().log() == log
    redis_stores.client.set(key, b'{"cluster": 1}')
    with pytest.raises(Unreadable, match="not readable"):
        redis_stores.entry_store().log()


def test_it_is_known_when_weights_in_force_were_published(stores: Stores) -> None:
    store = claimed(stores)
    assert store.published_ms() == {}
    store.publish(published(1))
    store.publish(published(1, context="x"))
    store.publish(published(2))
    assert stores.weights().published_ms() == {"faq": 1_002, "x": 1_001}


def test_loading_and_saving_tell_that_they_get_on(stores: Stores) -> None:
    store, calls = claimed(stores), list[str]()
    store.on_progress = lambda: calls.append("on")
    checkpoint = checkpoint_of({"faq": [1], "x": [2]})
    store.save_checkpoint(checkpoint)
    assert calls
    calls.clear()
    assert store.load_checkpoint(DIMENSION) == checkpoint
    assert calls


def garbled(stores: RedisStores, key: str) -> None:
    stores.client.hset(f"{key}:grams", b"\xff", b"x")


def garbled_features(stores: RedisStores, key: str) -> None:
    stores.client.hset(f"{key}:checkpoint", "features", b"\xff")


def garbled_format(stores: RedisStores, key: str) -> None:
    stores.client.hset(f"{key}:checkpoint", "format", b"\xff")


@pytest.mark.parametrize("damage", [garbled, garbled_features, garbled_format])
def test_bytes_that_no_program_of_ours_wrote_are_told_or_replaced(
    redis_stores: RedisStores, damage: Callable[[RedisStores, str], None]
) -> None:
    checkpoint = checkpoint_of({"faq": [1]})
    claimed(redis_stores).save_checkpoint(checkpoint)
    damage(redis_stores, f"{redis_stores.settings.prefix}:{{solver}}")
    store = claimed(redis_stores, "solver-2")
    try:
        assert store.load_checkpoint(DIMENSION).statistics == {}
    except Unreadable:
        redis_stores.client.delete(f"{redis_stores.settings.prefix}:{{solver}}:checkpoint")
    store.save_checkpoint(checkpoint)
    assert claimed(redis_stores, "solver-3").load_checkpoint(DIMENSION) == checkpoint


def test_a_checkpoint_that_is_saved_while_it_is_read_is_read_again(
    redis_stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a reader then makes of it: half of one and half of another may look damaged."""
    checkpoint = checkpoint_of({"faq": [1]})
    writer, reader = claimed(redis_stores), redis_stores.weights()
    writer.save_checkpoint(checkpoint)

    def save() -> None:
        learn(checkpoint.statistics["faq"], 9, rows=3)
        writer.save_checkpoint(checkpoint)

    statistics = Statistics.decode.__func__  # type: ignore[attr-defined]

    def decode(cls: type[Statistics], gram: bytes, sums: Iterable[tuple[str, bytes]]) -> Statistics:
        save()
        return statistics(cls, gram, list(sums)[1:])  # type: ignore[no-any-return]

    monkeypatch.setattr(Statistics, "decode", classmethod(decode))
    with pytest.raises(TransientError, match="saved while it was read"):
        reader.load_checkpoint(DIMENSION)


def published_mix(version: int = 1, context: str = "faq") -> PublishedMix:
    mix = dataclasses.replace(PRIOR, version=version, rehearsed={"few": 40}, right={"few": 0.75})
    return PublishedMix(context, mix, rows=57, watermarks={0: 41, 3: 2**40}, published_ms=1234)


def test_the_mix_of_a_context_is_published_read_and_forgotten(stores: Stores) -> None:
    store, other = stores.weights(), stores.weights()
    assert store.mix("faq") is None
    store.publish_mix(published_mix())
    store.publish_mix(published_mix(context="café ☕"))
    assert dict(other.mix_versions()) == {"faq": 1, "café ☕": 1}
    assert other.mix("café ☕") == published_mix(context="café ☕")
    other.publish_mix(published_mix(2))
    assert store.mix("faq") == published_mix(2)
    store.withdraw_mix("faq", 3)
    assert store.mix("faq") is None
    assert dict(other.mix_versions()) == {"faq": 3, "café ☕": 1}
    with pytest.raises(Superseded):
        other.withdraw_mix("faq", 3)
    with pytest.raises(Superseded, match="3"):  # else who has seen version 1 would not notice
        other.publish_mix(published_mix(1))
    other.publish_mix(published_mix(4))
    assert store.mix("faq") == published_mix(4)


def test_the_last_mixes_are_kept_until_what_they_have_learned_is_forgotten(stores: Stores) -> None:
    store, solver = stores.weights(), claimed(stores)
    for context in ("faq", "other"):
        for version in range(1, MIXES_KEPT + 4):
            store.publish_mix(published_mix(version, context))
    kept = range(3, MIXES_KEPT + 4)
    assert store.mix_of_version("faq", 2) is None
    assert [store.mix_of_version("faq", v) for v in kept] == [published_mix(v) for v in kept]
    deletion = Deletion(12, 5, targets=(1,))
    checkpoint = solver.load_checkpoint(DIMENSION)
    checkpoint.unlearned = [DeletionAudit(0, deletion, 9, 1, {"faq": ("a", "b")}, {0: 12}, 1)]
    solver.save_checkpoint(checkpoint)
    in_force = MIXES_KEPT + 3
    assert [v for v in range(1, 20) if store.mix_of_version("faq", v)] == [in_force]
    assert len([v for v in range(1, 20) if store.mix_of_version("other", v)]) == MIXES_KEPT + 1
    # The one in force may have learned it, and so may the next one, which is perhaps being learned.
    for version in range(in_force + 1, in_force + 5):
        store.publish_mix(published_mix(version))
    assert [v for v in range(1, 20) if store.mix_of_version("faq", v)] == [*range(in_force + 2, in_force + 5)]
    # Of an entry that was no pair nobody knows the context.
    checkpoint.unlearned = [DeletionAudit(0, dataclasses.replace(deletion, offset=13), 9, 0, {}, {0: 13}, 1)]
    solver.save_checkpoint(checkpoint)
    assert [len([v for v in range(1, 20) if store.mix_of_version(c, v)]) for c in ("faq", "other")] == [1, 1]
    store.withdraw_mix("other", in_force + 1)
    assert not [v for v in range(1, 20) if store.mix_of_version("other", v)]


def test_of_two_responders_that_publish_one_mix_the_first_one_wins(stores: Stores) -> None:
    store, other = stores.weights(), stores.weights()
    store.publish_mix(published_mix())
    for version in (1, 3, 0):
        with pytest.raises(Superseded):
            other.publish_mix(published_mix(version))
    assert store.mix("faq") == published_mix()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 1}',
        b'{"format": 0, "mix": {}}',
        b"\xff",
        b'{"format": 1e999}',
        b"[" * 10**5,
    ],
    ids=["empty", "cut", "a list", "no mix", "no format", "no text", "infinite", "deep"],
)
def test_a_damaged_mix_is_said_to_be_damaged_and_the_next_one_replaces_it(
    redis_stores: RedisStores, damage: bytes
) -> None:
    store = redis_stores.weights()
    store.publish_mix(published_mix())
    redis_stores.client.hset(Keys(redis_stores.settings.prefix).solver("mixes"), "faq", damage)
    with pytest.raises(Unreadable, match="damaged"):
        store.mix("faq")
    store.publish_mix(published_mix(2))
    assert store.mix("faq") == published_mix(2)


@pytest.mark.parametrize("damage", ["abc", "", "-5", "1.5", "nan", "1e400", "9" * 40])
def test_a_version_that_is_none_counts_as_0_and_the_next_mix_replaces_it(
    redis_stores: RedisStores, damage: str
) -> None:
    store = redis_stores.weights()
    redis_stores.client.hset(Keys(redis_stores.settings.prefix).solver("mix-versions"), "faq", damage)
    assert dict(store.mix_versions()) == {"faq": 0}
    store.publish_mix(published_mix())
    assert dict(store.mix_versions()) == {"faq": 1}


def test_a_mix_of_a_newer_program_asks_for_an_upgrade(redis_stores: RedisStores) -> None:
    store = redis_stores.weights()
    store.publish_mix(published_mix())
    redis_stores.client.hset(Keys(redis_stores.settings.prefix).solver("mixes"), "faq", b'{"format": 99}')
    with pytest.raises(UpgradeNeeded):
        store.mix("faq")
