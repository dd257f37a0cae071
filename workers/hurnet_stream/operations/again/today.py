"""A question asked again as of today, and what has changed since."""

from __future__ import annotations

from contextlib import suppress

from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Unreadable
from hurnet_stream.operations.again.asked import Asked
from hurnet_stream.operations.again.asking import (
    answered,
    memory_of,
    not_scored,
    of_other_topics,
    receipt_of,
)
from hurnet_stream.operations.again.comparing import CHANGES, differences
from hurnet_stream.operations.again.past import Point, load
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.operations.again.since import Newcomers, between
from hurnet_stream.places import NotRead
from hurnet_stream.responder.loaded_contexts import LoadedContexts


def ask_today(asked: Asked, world: World) -> Replayed:
    """The question as of now. Raises `StoreReplaced` if deletions are compacted away meanwhile."""
    receipt, context = receipt_of(asked), asked.query.context
    try:
        seen = world.places.positions(receipt.watermarks, receipt.beyond)
    except NotRead as error:
        return of_other_topics(asked, error)
    watermarks = {p: s.watermark for p, s in world.store.states().items() if s.watermark != NOTHING}
    newcomers = Newcomers(seen, watermarks)
    memory = _memory(asked, world)
    load(world.store, memory, Point(context, watermarks), newcomers, world.advance)
    now = answered(asked, memory, world, world.settings.responder)
    rows = memory.rows().get(context, 0)
    changed = between(receipt, now, newcomers.count, rows, world.texts)
    causes = not_scored(now) | changed.causes()
    found = differences(asked.then, now, causes, passing_over=CHANGES)
    return Replayed(asked.then, now, found, [], changed)


def _memory(asked: Asked, world: World) -> LoadedContexts:
    """Empty, with the weights and the mix in force."""
    paper, context = world.settings.paper, asked.query.context
    memory = memory_of(world, paper.features, world.settings.solve.half_life_ms, paper.p)
    with suppress(Unreadable, ValueError):  # a responder would refuse them, too
        memory.use(context, world.weights.weights(context))
    with suppress(Unreadable):
        mix = world.weights.mix(context)
        memory.use_mix(context, mix.mix if mix else None)
    return memory
