"""People who ask: what they ask about, in words and languages of their own, and what they are told."""

from __future__ import annotations

import random
from typing import NamedTuple


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


def people(subjects: tuple[Subject, ...], count: int = 400) -> list[Person]:
    chance = random.Random(7)
    found = []
    for number in range(count):
        subject = chance.choice(subjects)
        text = chance.choice(OPENINGS) + chance.choice(subject.asked) + chance.choice(ENDINGS)
        found.append(Person(number, text, subject, chance))
    return found
