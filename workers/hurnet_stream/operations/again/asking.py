"""The question put again to a memory that was loaded for it, by the responder's own code (replies.py): there
is no second way to score."""

from __future__ import annotations

import time
from collections.abc import Callable

from hurnet_schemas import Receipt
from hurnet_schemas.detail import MOST
from hurnet_schemas.reply import Reply
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.embedding import embed_questions
from hurnet_stream.operations.again.asked import Asked, Missing, record_name
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.places import NotRead
from hurnet_stream.ports import Record
from hurnet_stream.responder.judging import vector_digest
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.pending import Pending
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings


def receipt_of(asked: Asked) -> Receipt:
    """The receipt of the reply that was given."""
    if asked.then.receipt is None:
        raise ValueError("a reply without a receipt can't be asked again")
    return asked.then.receipt


def memory_of(world: World, features: str, half_life_ms: int, p: float) -> LoadedContexts:
    """An empty memory for this world."""
    identity = world.embedder.identity
    memory = LoadedContexts(halves(identity.name, identity.dimension), features, half_life_ms, p=p)
    memory.name_by(world.places)
    return memory


def of_other_topics(asked: Asked, error: NotRead) -> Replayed:
    """What comes of a receipt that names what this store does not have."""
    why = f"the receipt is of a store with other topics: {error}"
    return Replayed(asked.then, None, missing=[Missing("topics", why)])


def answered(
    asked: Asked,
    memory: LoadedContexts,
    world: World,
    settings: ResponderSettings,
    redaction: Callable[[], str] | None = None,
) -> Reply:
    """The reply of a responder with this memory, as if it had taken as long, been in the same trace, and
    lacked the same shards. It shows as much as the one that was given."""
    then, receipt = asked.then, receipt_of(asked)
    topic, partition, offset = record_name(receipt.query) or ("", 0, 0)
    record = Record(topic, partition, offset, 0, None, asked.query.encode())
    started = time.monotonic()
    pending = Pending(record, asked.query, None, started, started)
    # What is shown is compared, not what might be.
    shown = settings.model_copy(update={"detail": receipt.detail or MOST})
    replies = Replies(memory, world.embedder, shown, redaction=redaction or world.store.redaction)
    answer = replies.answer([pending])[0].answer
    if answer.receipt:
        once = {"seconds": receipt.seconds, "trace_id": receipt.trace_id, "query": receipt.query}
        answer = answer.model_copy(update={"receipt": answer.receipt.model_copy(update=once)})
    return Reply.of(answer.model_copy(update={"id": then.id}), then.question, then.record)


def not_scored(now: Reply) -> dict[str, str]:
    """Why there is nothing to compare, as the cause of each difference, if there isn't."""
    if now.receipt is not None:
        return {}
    return {"question": f"asked again, the question is {now.outcome}: {now.reason or 'it has no receipt'}"}


def vector_of(world: World, text: str) -> str:
    """The digest of a question's vector, as receipts have it."""
    vectors, _ = embed_questions(world.embedder, [text])
    return vector_digest(vectors[0])
