"""The wire formats, one file per topic, as JSON in UTF-8. `hurnet schemas` exports their JSON Schema."""

from schemas.answer import Answer, Candidate, Receipt, Scores, WeightsReceipt
from schemas.base import DEFAULT_CONTEXT, Coordinates, InvalidMessage, Message
from schemas.dead_letter import DeadLetter
from schemas.query import Query
from schemas.text import TextEvent

MESSAGES: tuple[type[Message], ...] = (TextEvent, Query, Answer, DeadLetter)

__all__ = [
    "DEFAULT_CONTEXT",
    "MESSAGES",
    "Answer",
    "Candidate",
    "Coordinates",
    "DeadLetter",
    "InvalidMessage",
    "Message",
    "Query",
    "Receipt",
    "Scores",
    "TextEvent",
    "WeightsReceipt",
]
