"""From feedback to records of the topic of texts: what it takes back, and what it teaches.

All feedback on one question of one context has one key and goes to one partition, so a tombstone of that key
deletes exactly what earlier feedback on it has taught:

    feedback                          records in partition 0 of texts, under the key of (faq, "how to pay?")
    wrong, answer "by card"           tombstone, text "how to pay?" -> "by card"
    the same once more                tombstone, text "how to pay?" -> "by card"     one pair, not two
    wrong, answer "by bank"           tombstone, text "how to pay?" -> "by bank"     replaces it
    wrong, given "by bank"            tombstone, text "how to pay?" refutes "by bank"
    retracted                         tombstone                                       as if it had never been

The records of one feedback lie behind each other, because they are sent together and nobody else sends under
such a key. What a tombstone deletes is unlearned exactly, as anything is that is deleted.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from hurnet_schemas import Feedback, TextEvent
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT

WEIGHT: Final = 2
"""How many copies of a correction are taught: the least that wins over one wrong pair of the same text."""
PARTITION: Final = 0
"""The partition of texts for all that feedback teaches. It is there however many there are, so that a key
keeps its partition if the topic gets more. People write so little that one partition is enough."""
_KEYS: Final = "hurnet-feedback"


def same_question(question: str) -> str:
    """What all ways to write this question have in common: case and white space make no other question."""
    return " ".join(question.split()).casefold()


def correction_key(context: str, question: str) -> bytes:
    """The record key of all that feedback on this question teaches."""
    digest = blake2b(same_question(question).encode(), digest_size=16).hexdigest()
    return f"{_KEYS}/{context}/{digest}".encode()


def lesson(feedback: Feedback, source: str, topic: str) -> list[Outgoing]:
    """What to send to `topic` for the feedback at the coordinates `source`: a tombstone of what earlier
    feedback on the question has taught, and the text that takes its place, if any does."""
    key = correction_key(feedback.context, feedback.question)
    origin = (SOURCE, source.encode())
    context = (CONTEXT, feedback.context.encode())
    messages = [Outgoing(topic, None, key, (context, origin), PARTITION)]
    if taught := _taught(feedback, source):
        messages.append(Outgoing(topic, taught.encode(), key, (origin,), PARTITION))
    return messages


def _taught(feedback: Feedback, source: str) -> TextEvent | None:
    answer = feedback.answer or feedback.given
    if answer is None:
        return None
    return TextEvent(
        text=feedback.question,
        answer=answer,
        refutes=True if feedback.answer is None else None,
        weight=WEIGHT,
        context=feedback.context,
        metadata={**feedback.metadata, SOURCE: source},
    )
