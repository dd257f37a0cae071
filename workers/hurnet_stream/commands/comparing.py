"""`hurnet migrate --compare`: the last questions, answered by both generations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE

if TYPE_CHECKING:
    from hurnet_stream.core.stored.generations import Generation, Generations
    from hurnet_stream.operations.shadow import Question, Side
    from hurnet_stream.settings.settings import Settings


def compare(chosen: Settings, known: Generations, last: int, as_json: bool) -> int:
    """Answer the last questions by both generations, and show where they differ. Returns the exit code."""
    from hurnet_stream.operations.shadow import last_questions
    from hurnet_stream.terminal.migrating import compared, described
    from hurnet_stream.terminal.screen import say_json

    if len(known.members) < 2:
        raise click.UsageError("There is one generation: `hurnet migrate --to EMBEDDER` begins another.")
    questions = last_questions(_newest(chosen, last), last)
    if not questions:
        raise click.UsageError(
            f"{chosen.kafka.queries} holds no questions: what is asked is kept for a while."
        )
    one, two = (_side(chosen, generation, questions) for generation in known.members)
    if as_json:
        say_json(described(questions, one, two))
    else:
        compared(questions, one, two)
    return DONE


def _newest(chosen: Settings, last: int) -> list[Any]:
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.operations.unanswered import newest

    with closing(KafkaHistory(chosen.kafka, chosen.kafka.queries)) as history:
        return list(newest(history, last))


def _side(chosen: Settings, generation: Generation, questions: Sequence[Question]) -> Side:
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect_to
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.operations.again.replayed import World
    from hurnet_stream.operations.shadow import side
    from hurnet_stream.terminal.screen import progress

    with ExitStack() as stack:
        segments = segments_at(chosen.segments)
        connection = stack.enter_context(closing(connect_to(chosen.redis, generation.number, segments)))
        store, embedder = RedisEntryStore(connection), load(generation.called or generation.name)
        store.open(embedder.identity)
        advance = stack.enter_context(progress(f"loading {generation.name}", None))
        return side(World(store, RedisWeightsStore(connection), embedder, chosen, advance), questions)
