"""The wire formats, one file per topic, as JSON in UTF-8. `hurnet schemas` exports their JSON Schema."""

from hurnet_schemas.answer import Answer, Candidate, MixReceipt, Neighbour, Receipt, Scores, WeightsReceipt
from hurnet_schemas.asked import Asked
from hurnet_schemas.base import DEFAULT_CONTEXT, Coordinates, InvalidMessage, Message
from hurnet_schemas.dead_letter import DeadLetter
from hurnet_schemas.feedback import Feedback
from hurnet_schemas.filter import Filter
from hurnet_schemas.query import Query
from hurnet_schemas.reply import Reply
from hurnet_schemas.text import KeyedText, TextEvent

MESSAGES: tuple[type[Message], ...] = (TextEvent, Query, Answer, Feedback, DeadLetter, Asked)

__all__ = [
    "DEFAULT_CONTEXT",
    "MESSAGES",
    "Answer",
    "Asked",
    "Candidate",
    "Coordinates",
    "DeadLetter",
    "Feedback",
    "Filter",
    "InvalidMessage",
    "KeyedText",
    "Message",
    "MixReceipt",
    "Neighbour",
    "Query",
    "Receipt",
    "Reply",
    "Scores",
    "TextEvent",
    "WeightsReceipt",
]
