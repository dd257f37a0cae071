"""Which field is the text and which the answer, on topics of many shapes, in several languages of their
names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from hurnet_stream.adapters.embedders import load
from hurnet_stream.operations.mapping.choosing import candidates
from hurnet_stream.operations.mapping.fields import fields_of
from hurnet_stream.operations.mapping.screening import Screen
from tests.worlds.asking import ENGLISH, GERMAN, JAPANESE, PORTUGUESE, Person, Subject, people

Row = Callable[[Person], dict[str, Any]]


class Shape(NamedTuple):
    row: Row
    text: str | None
    answer: str | None
    subjects: tuple[Subject, ...] = ENGLISH


SHAPES = {
    "tickets": Shape(
        lambda p: {
            "id": p.number,
            "ticket": {
                "subject": p.text,
                "status": p.of("open", "closed", "waiting"),
                "priority": p.of("low", "normal", "high", "urgent"),
                "resolution": p.subject.reply if p.number % 5 else None,
            },
            "customer": {
                "name": p.of("Ana Lima", "Bo Berg", "Cy Young"),
                "email": f"u{p.number}@example.com",
            },
            "created_at": f"2026-03-{p.number % 28 + 1:02}T10:00:00Z",
        },
        "value.ticket.subject",
        "value.ticket.resolution",
    ),
    "FAQ, each answer once": Shape(
        lambda p: {
            "faq": {
                "question": {"title": p.text},
                "answer": {"body": f"{p.subject.reply} See page {p.number}."},
            },
            "lang": "en",
        },
        "value.faq.question.title",
        "value.faq.answer.body",
    ),
    "Portuguese": Shape(
        lambda p: {"código": p.number, "pergunta": p.text, "resposta": p.subject.reply, "idioma": "pt-BR"},
        "value.pergunta",
        "value.resposta",
        PORTUGUESE,
    ),
    "German, the answer comes first": Shape(
        lambda p: {"Lösung": p.subject.reply, "Titel": p.text, "Mandant": p.of("nord", "süd")},
        "value.Titel",
        'value."Lösung"',
        GERMAN,
    ),
    "Japanese": Shape(
        lambda p: {"番号": p.number, "質問": p.text, "回答": p.subject.reply},
        'value."質問"',
        'value."回答"',
        JAPANESE,
    ),
    "intents": Shape(
        lambda p: {
            "utterance": p.text,
            "intent": p.subject.label,
            "confidence": 0.5,
            "model": p.of("m1", "m2", "m3"),
        },
        "value.utterance",
        "value.intent",
    ),
    "names that say nothing, replies": Shape(
        lambda p: {"a": p.number, "b": p.of("x", "y", "z"), "c": p.text, "d": p.subject.reply},
        "value.c",
        "value.d",
    ),
    "names that say nothing, labels": Shape(
        lambda p: {"f1": p.subject.label, "f2": p.of("k1", "k2", "k3", "k4"), "f3": p.text},
        "value.f3",
        "value.f1",
    ),
    "names that mislead": Shape(
        lambda p: {
            "title": p.of("Mr", "Ms", "Dr"),
            "answer": p.of("yes", "no", "maybe"),
            "note": p.text,
            "remark": p.subject.reply,
        },
        "value.note",
        "value.remark",
    ),
    "camel case in a list": Shape(
        lambda p: {"items": [{"queryText": p.text, "replyText": p.subject.reply, "score": p.number % 7}]},
        "value.items[0].queryText",
        "value.items[0].replyText",
    ),
    "chat lines": Shape(
        lambda p: {
            "user": p.of("ana", "bob", "cyd"),
            "channel": p.of("general", "random", "team"),
            "msg": p.text,
        },
        "value.msg",
        None,
    ),
    "a priority is no answer": Shape(
        lambda p: {
            "complaint": p.text,
            "priority": p.of("p1", "p2", "p3", "p4", "p5"),
            "open": bool(p.number % 2),
        },
        "value.complaint",
        None,
    ),
    "figures": Shape(
        lambda p: {
            "host": p.of("web1", "web2", "db1"),
            "ms": p.number,
            "level": p.of("INFO", "WARN", "ERROR"),
        },
        None,
        None,
    ),
    "keys and links": Shape(
        lambda p: {
            "sku": f"SKU-{p.number:05}",
            "url": f"https://example.com/{p.number}",
            "price": p.number / 7,
        },
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_text_and_the_answer_are_found(name: str) -> None:
    shape = SHAPES[name]
    fields = fields_of([shape.row(person) for person in people(shape.subjects)])
    found = candidates(fields, Screen(load("hash512")).lift)
    best = found[0] if found else None
    chosen = (best and best.text.expression, best and best.answer and best.answer.expression)
    assert chosen == (shape.text, shape.answer)
