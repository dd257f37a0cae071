"""Which field is the text and which the answer, on topics of many shapes, in several languages of their
names."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from hurnet_stream.adapters.embedders import load
from hurnet_stream.operations.mapping.choosing import candidates
from hurnet_stream.operations.mapping.fields import fields_of
from hurnet_stream.operations.mapping.screening import Screen


class Subject(NamedTuple):
    """What people ask about, in their own words, and what they are told."""

    label: str
    reply: str
    asked: tuple[str, ...]


ENGLISH = (
    Subject(
        "reset_password",
        "Open the login page and choose 'Forgot password'; a mail with a link follows.",
        ("I forgot my password", "How do I reset my password?", "Can't log in, the password is wrong"),
    ),
    Subject(
        "track_order",
        "The number in your confirmation mail opens the page of the carrier.",
        ("Where is my parcel?", "How can I track my order?", "My parcel has not arrived"),
    ),
    Subject(
        "return_item",
        "Print the label from your account and hand the parcel in within 30 days.",
        (
            "I want to send something back",
            "How do I return an item?",
            "The shoes don't fit, can I return them?",
        ),
    ),
    Subject(
        "change_address",
        "Change it in your account under Addresses, before the parcel has left us.",
        ("I have moved house", "How do I change my address?", "Please send it to another address"),
    ),
    Subject(
        "invoice_copy",
        "Every invoice is in your account under Orders, as a PDF.",
        ("I need a copy of the invoice", "Where do I find my invoice?", "The tax office wants an invoice"),
    ),
    Subject(
        "cancel_plan",
        "Cancel in your account under Plan; it then ends with the month.",
        ("I want to cancel my plan", "How do I end my subscription?", "Stop my subscription please"),
    ),
)
PORTUGUESE = (
    Subject(
        "senha",
        "Abra a página de entrada e escolha 'Esqueci a senha'; um e-mail com o link segue.",
        ("Esqueci a minha senha", "Como redefino a minha senha?", "Não consigo entrar, a senha está errada"),
    ),
    Subject(
        "pedido",
        "O número no e-mail de confirmação abre a página da transportadora.",
        ("Onde está o meu pedido?", "Como acompanho a minha encomenda?", "O meu pedido não chegou"),
    ),
    Subject(
        "devolucao",
        "Imprima a etiqueta na sua conta e entregue o pacote em até 30 dias.",
        ("Quero devolver um produto", "Como faço uma devolução?", "Os sapatos não servem, posso devolver?"),
    ),
)
GERMAN = (
    Subject(
        "passwort",
        "Auf der Anmeldeseite 'Passwort vergessen' wählen; eine Mail mit einem Link folgt.",
        (
            "Ich habe mein Passwort vergessen",
            "Wie setze ich mein Passwort zurück?",
            "Das Passwort ist falsch!",
        ),
    ),
    Subject(
        "paket",
        "Die Nummer in der Bestätigung öffnet die Seite des Paketdienstes.",
        ("Wo ist mein Paket?", "Wie verfolge ich meine Bestellung?", "Meine Bestellung ist nicht angekommen"),
    ),
    Subject(
        "rueckgabe",
        "Drucken Sie das Etikett in Ihrem Konto und geben Sie das Paket in 30 Tagen ab.",
        (
            "Ich möchte etwas zurückgeben",
            "Wie schicke ich einen Artikel zurück?",
            "Die Schuhe passen nicht, was nun?",
        ),
    ),
)
JAPANESE = (
    Subject(
        "パスワード",
        "ログイン画面で「パスワードを忘れた方」を選ぶと、リンク付きのメールが届きます。",
        (
            "パスワードを忘れました",
            "パスワードを再設定する方法は？",
            "ログインできません、パスワードが違います",
        ),
    ),
    Subject(
        "配送",
        "確認メールの番号で配送会社のページが開きます。",
        ("荷物はどこですか？", "注文を追跡するにはどうすればいいですか？", "荷物がまだ届いていません"),
    ),
    Subject(
        "返品",
        "アカウントからラベルを印刷し、三十日以内に荷物を渡してください。",
        ("商品を返品したいです", "返品の方法を教えてください", "靴のサイズが合わないので返品できますか？"),
    ),
)
OPENINGS = ("", "Hello, ", "Hi! ", "One question: ", "Good day, ", "Team, ")
ENDINGS = (
    "",
    " Thanks",
    " It is urgent",
    " Best, Ana",
    " I use the app",
    " I use the web site",
    " Ordered in May",
)


class Person(NamedTuple):
    """One that asks."""

    number: int
    text: str
    subject: Subject
    chance: random.Random

    def of(self, *values: str) -> str:
        return self.chance.choice(values)


Row = Callable[[Person], dict[str, Any]]


class Shape(NamedTuple):
    row: Row
    text: str | None
    answer: str | None
    subjects: tuple[Subject, ...] = ENGLISH


def people(subjects: tuple[Subject, ...], count: int = 400) -> list[Person]:
    chance = random.Random(7)
    found = []
    for number in range(count):
        subject = chance.choice(subjects)
        text = chance.choice(OPENINGS) + chance.choice(subject.asked) + chance.choice(ENDINGS)
        found.append(Person(number, text, subject, chance))
    return found


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
