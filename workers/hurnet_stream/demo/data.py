"""The demo's texts and questions: what people really say, from two packages and a set of our own.

`home-assistant-intents` has templates of what people say to a smart home; the answer is what they want. The
questions come from templates that the stream never saw. `chatterbot-corpus` has dialogues; the questions are
lines of the stream as somebody in a hurry types them: without capitals and accents, and with two letters
swapped. `support.jsonl` is what a service that rents bikes is asked: eight phrasings of each answer are
taught, and the questions share few words with them, as those of people who never read the FAQ. The questions
of `unrelated.txt` have no answer in any of them.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from hurnet_stream.errors import ConfigurationError

SEED = "hurnet demo"
PER_TEMPLATE = 2
HELD_OUT = 0.2
"""The share of an intent's templates whose phrasings are never taught, only asked."""
QUESTIONS_PER_SET = 90
LONGEST_LINE = 200
"""Characters. The few longer lines are listings of programs."""
MISSING = "the demo's data isn't installed; install it with: pip install 'hurnet-stream[local]'"

Fillers = dict[str, list[str]]

_ENGLISH: Fillers = {
    "area": ["kitchen", "living room", "bedroom", "bathroom", "garage", "office", "hallway", "garden"],
    "floor": ["ground floor", "first floor", "second floor", "attic", "basement"],
    "name": ["ceiling light", "desk lamp", "coffee machine", "television", "heater", "front door", "blinds"],
    "zone": ["work", "school", "the gym"],
    "message": ["dinner is ready", "we are leaving in five minutes", "the bus is here"],
    "timer_name": ["pizza", "laundry", "tea"],
    "timer_command": ["turn off the lights", "open the garage door"],
    "shopping_list_item": ["milk", "apples", "washing powder", "bread"],
    "todo_list_item": ["call the plumber", "water the plants", "pay the rent"],
    "search_query": ["bohemian rhapsody", "some jazz", "the beatles"],
}
_PORTUGUESE: Fillers = {
    "area": ["cozinha", "sala", "quarto", "banheiro", "garagem", "escritório", "corredor", "jardim"],
    "floor": ["térreo", "primeiro andar", "segundo andar", "sótão", "porão"],
    "name": ["luz do teto", "abajur", "cafeteira", "televisão", "aquecedor", "porta da frente", "persiana"],
    "zone": ["trabalho", "escola", "academia"],
    "message": ["o jantar está pronto", "saímos em cinco minutos", "o ônibus chegou"],
    "timer_name": ["pizza", "roupa", "chá"],
    "timer_command": ["apagar as luzes", "abrir a garagem"],
    "shopping_list_item": ["leite", "maçãs", "sabão em pó", "pão"],
    "todo_list_item": ["ligar para o encanador", "regar as plantas", "pagar o aluguel"],
    "search_query": ["garota de ipanema", "um pouco de samba", "legião urbana"],
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and its answer. `origin` names the set, `template` is what the text was made from."""

    text: str
    answer: str
    origin: str
    template: str = ""

    @property
    def context(self) -> str:
        """The context that it is taught to: `home`, `chat` or `support`, in all languages of the set."""
        return self.origin.split()[0]


@dataclass(frozen=True, slots=True)
class DemoData:
    """What is streamed and what is asked afterwards, both shuffled. They share no text, and in the home sets
    no template."""

    stream: list[Pair]
    questions: list[Pair]


def load() -> DemoData:
    """The data, the same every time. Raises `ConfigurationError` if the packages are not installed."""
    stream: list[Pair] = []
    questions: list[Pair] = []
    for language, fillers in (("en", _ENGLISH), ("pt-BR", _PORTUGUESE)):
        taught, asked = _home(language, fillers)
        stream += taught
        questions += asked
    for folder, language in (("english", "en"), ("portuguese", "pt")):
        taught, asked = _chat(folder, language)
        stream += taught
        questions += asked
    taught, asked = _support()
    stream += taught
    questions += asked
    texts = {pair.text.casefold() for pair in stream}
    questions = [pair for pair in questions if pair.text.casefold() not in texts]
    random = _random("all")
    random.shuffle(stream)
    random.shuffle(questions)
    return DemoData(stream, questions)


def unrelated() -> list[str]:
    """Questions that nothing taught answers."""
    return files(__package__).joinpath("unrelated.txt").read_text("utf-8").splitlines()


def _random(purpose: str) -> Random:
    return Random(f"{SEED} {purpose}")  # noqa: S311 - to be repeated, not to be secret


def _home(language: str, fillers: Fillers) -> tuple[list[Pair], list[Pair]]:
    """What is taught and what is asked of the home set of one language. Each text has one answer."""
    random = _random(language)
    origin = f"home {language}"
    taught: dict[str, Pair] = {}
    asked: dict[str, Pair] = {}
    for answer, phrasings in _intents(language, fillers, random):
        templates = list(phrasings)
        held_out = set(random.sample(templates, int(len(templates) * HELD_OUT)))
        for template, texts in phrasings.items():
            for text in texts:
                to = asked if template in held_out else taught
                to.setdefault(text.casefold(), Pair(text, answer, origin, template))
    # Two intents may share a template, so that one is held out for the one and taught for the other.
    seen = {pair.template for pair in taught.values()}
    new = [pair for text, pair in asked.items() if text not in taught and pair.template not in seen]
    return list(taught.values()), random.sample(new, min(QUESTIONS_PER_SET, len(new)))


def _intents(language: str, fillers: Fillers, random: Random) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """For each intent its name with its meaning, and some sentences of each of its templates."""
    try:
        from home_assistant_intents import get_intent_info, get_intents

        from hurnet_stream.demo.templates import Grammar
    except ImportError:
        raise ConfigurationError(MISSING) from None
    known: dict[str, Any] = get_intents(language) or {}
    meanings: dict[str, Any] = get_intent_info() or {}
    grammar = Grammar(known["expansion_rules"], known["lists"], fillers)
    for intent, blocks in known["intents"].items():
        templates = dict.fromkeys(template for block in blocks["data"] for template in block["sentences"])
        yield (
            f"{intent}: {meanings[intent]['description']}",
            {template: grammar.draw(template, PER_TEMPLATE, random) for template in templates},
        )


def _support() -> tuple[list[Pair], list[Pair]]:
    """What is taught and what is asked of the support set."""
    taught: list[Pair] = []
    asked: list[Pair] = []
    for line in files(__package__).joinpath("support.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        for into, texts in ((taught, entry["taught"]), (asked, entry["asked"])):
            into += [Pair(text, entry["answer"], "support", text) for text in texts]
    return taught, asked


def _chat(folder: str, language: str) -> tuple[list[Pair], list[Pair]]:
    """Opening lines of dialogues with their first replies, and some of these lines typed in a hurry."""
    random = _random(folder)
    origin = f"chat {language}"
    pairs: dict[str, Pair] = {}
    for line, reply in _dialogues(folder):
        pairs.setdefault(line.casefold(), Pair(line, reply, origin, line))
    chosen = random.sample(list(pairs.values()), min(QUESTIONS_PER_SET, len(pairs)))
    hurried = [Pair(in_a_hurry(pair.text, random), pair.answer, origin, pair.template) for pair in chosen]
    return list(pairs.values()), [pair for pair in hurried if pair.text.casefold() not in pairs]


def _dialogues(folder: str) -> Iterator[tuple[str, str]]:
    try:
        import yaml

        corpus = files("chatterbot_corpus") / "data" / folder
    except ImportError:
        raise ConfigurationError(MISSING) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in sorted(Path(str(corpus)).glob("*.yml")):
        for dialogue in yaml.load(file.read_text("utf-8"), loader)["conversations"]:  # noqa: S506 - a safe one
            lines = [" ".join(str(line).split()) for line in dialogue[:2]]
            if len(lines) == 2 and all(0 < len(line) <= LONGEST_LINE for line in lines):
                yield lines[0], lines[1]


def in_a_hurry(text: str, random: Random) -> str:
    """The text without capitals and accents, and with two neighbouring letters of one word swapped."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    places = [i for i in range(len(plain) - 1) if plain[i : i + 2].isalpha() and plain[i] != plain[i + 1]]
    if not places:
        return plain
    i = random.choice(places)
    return plain[:i] + plain[i + 1] + plain[i] + plain[i + 2 :]
