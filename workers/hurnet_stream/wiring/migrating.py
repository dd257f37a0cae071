"""`hurnet migrate --to`: the follower and a solver for the generation that it fills, as one process.

The solver is the same as any other one. Both work in turns, in one thread. While the copy goes on, weights
are solved of what is there already, so that the generation can answer as soon as it is filled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.metrics.migrate import MigrateMetrics
from hurnet_stream.migrate.follower import Follower
from hurnet_stream.ports import Embedder, Tracer
from hurnet_stream.runtime.loop import Worker
from hurnet_stream.settings.settings import Settings
from hurnet_stream.solver.solver import Solver
from hurnet_stream.wiring.parts import Beat, connection_to
from hurnet_stream.wiring.running import run_worker

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Bound, Connection

SETTLED_TURNS = 3
"""Turns without anything new after which `--once` ends: the solver has its turns, too."""


class Migration:
    """The worker: `step` is a turn of the follower and one of the solver."""

    name = "migrate"

    def __init__(self, follower: Follower, solver: Solver, on_settled: Callable[[], None]) -> None:
        self._follower = follower
        self._solver = solver
        self._on_settled = on_settled
        self._settled = 0

    def step(self) -> None:
        self._follower.step()
        self._solver.step()
        self._settled = self._settled + 1 if self._follower.caught_up else 0
        if self._settled >= SETTLED_TURNS and self._solver.settled:
            self._on_settled()

    def unready(self) -> list[str]:
        return self._follower.unready() or self._solver.unready()

    def standing(self) -> str:
        return self._follower.standing()

    def drain(self) -> None:
        self._follower.drain()
        self._solver.drain()

    def close(self) -> None:
        self._solver.close()
        self._follower.close()


def run_migration(settings: Settings, to: str, once: bool) -> int:
    """Fill the generation of the embedder `to` until told to stop or, if `once`, until it is filled. Returns
    the exit code."""
    stops: list[Callable[[], None]] = []

    def settled() -> None:
        if once:
            stops[0]()

    return run_worker("migrate", settings, partial(_build, to, settled), stops.append)


def _build(
    to: str,
    on_settled: Callable[[], None],
    settings: Settings,
    metrics: MigrateMetrics,
    bound: Bound,
    beat: Beat,
    _tracer: Tracer | None,
) -> Worker:
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.redis import RedisCopyNotes, RedisEntryStore, RedisLeaseStore

    embedder = load(to)
    with ExitStack() as undo:
        source_number, target_number = _pair(settings, embedder, to)
        connected = partial(connection_to, settings=settings, metrics=metrics, bound=bound, undo=undo)
        source, target = connected(source_number), connected(target_number)
        stores = RedisEntryStore(source), RedisEntryStore(target)
        notes = RedisCopyNotes(source, target)
        follower = Follower(*stores, notes, embedder, RedisLeaseStore(target), metrics).watched_by(beat)
        stores[1].share_privacy(stores[0])
        solver = _solver(settings, metrics, connected(target_number), beat)
        undo.pop_all()
    return Migration(follower, solver, on_settled)


def _solver(settings: Settings, metrics: MigrateMetrics, connection: Connection, beat: Beat) -> Solver:
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisLeaseStore, RedisWeightsStore

    weights, leases = RedisWeightsStore(connection), RedisLeaseStore(connection)
    return Solver(RedisEntryStore(connection), weights, leases, settings, metrics).watched_by(beat)


def _pair(settings: Settings, embedder: Embedder, to: str) -> tuple[int, int]:
    """The generation that ingest fills, and the one of this embedder, which is begun if it is new."""
    from hurnet_stream.adapters.redis import RedisGenerations, connect
    from hurnet_stream.adapters.segments import segments_at

    with closing(connect(settings.redis, segments_at(settings.segments))) as connection:
        try:
            known = RedisGenerations(connection).change(lambda each: each.begun(embedder.identity, to))
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
    return known.filling, _target(known, embedder).number


def _target(known: Generations, embedder: Embedder) -> Generation:
    fingerprint = embedder.identity.fingerprint
    target = next(each for each in known.members if each.embedder.fingerprint == fingerprint)
    if target.number == known.filling:
        raise ConfigurationError(
            f"ingest fills the generation of {target.name} itself: there is nothing to copy. Name another"
            " embedder"
        )
    return target
