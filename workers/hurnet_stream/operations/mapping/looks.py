"""What a single value looks like, whatever its field is called and whatever its language is.

"How do I reset my password?"       text      words in some script
"パスワードを忘れました"              text      scripts that don't put spaces between words
"reset-password", "Billing"         label     a word or three
"en", "pt-BR"                       language  the code of one
"2026-11-28T12:00:00Z"              time
"7", 7, "3.5"                       number
"4f1c9a…", "TCK-00041"              id        a word that is mostly digits, or a UUID
"https://…", "ana@example.com"      link, address
true                                flag
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, Literal

Look = Literal["text", "label", "language", "time", "number", "id", "link", "address", "flag", "code"]

LETTERS_SEEN: Final = 400
"""Characters of a value that are looked at."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|UTC|[+-]\d\d:?\d\d)?)?")
_NUMBER: Final = re.compile(r"[+-]?\d+([.,]\d+)*%?")
_LINK: Final = re.compile(r"(https?|ftp|s3|file)://\S+|www\.\S+|/[\w./-]+")
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+\d[\d ()-]{6,}|\d{1,3}(\.\d{1,3}){3}")
_ID: Final = re.compile(
    r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4,12}){1,4}|(?=\S*\d)[A-Za-z]{0,8}[-_#:/]?\d[\dA-Fa-f_:-]*"
)
_LANGUAGE: Final = re.compile(r"[a-z]{2}([-_][A-Za-z]{2,4})?")
_QUESTION: Final = re.compile(r"[?？؟;՞]\s*$|^\s*¿")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that don't put spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_UNSPACED_PER_WORD: Final = 2.5
_SHAPES: Final[tuple[tuple[re.Pattern[str], Look], ...]] = (
    (_TIME, "time"),
    (_ADDRESS, "address"),
    (_NUMBER, "number"),
    (_LINK, "link"),
    (_LANGUAGE, "language"),
    (_ID, "id"),
)
_LABEL_WORDS: Final = 3
_CODE_LETTERS: Final = 40
"""A single word that is longer is no word."""


def look(value: Any) -> Look:
    """What a value that is no object, no list and not null looks like."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    text = str(value)[:LETTERS_SEEN].strip()
    for shape, name in _SHAPES:
        if shape.fullmatch(text):
            return name
    if words(text) > _LABEL_WORDS:
        return "text" if _is_language(text) else "code"
    if any(len(word) > _CODE_LETTERS for word in text.split()):
        return "code"
    return "text" if asks(text) else "label" if any(map(str.isalpha, text)) else "code"


def words(text: str) -> int:
    """How many words a text has, also in scripts that don't put spaces between them."""
    unspaced = len(_UNSPACED.findall(text))
    spaced = len(text.split()) if unspaced < len(text) else 0
    return max(spaced, round(unspaced / _UNSPACED_PER_WORD))


def asks(text: str) -> bool:
    """Whether a text ends, or in Spanish begins, as a question does."""
    return _QUESTION.search(text) is not None


def script(text: str) -> str:
    """The script of the first letter, as Unicode names it: LATIN, CYRILLIC, CJK. "" if there is none."""
    letter = next((character for character in text[:LETTERS_SEEN] if character.isalpha()), "")
    return unicodedata.name(letter, "").split(" ")[0] if letter else ""


def _is_language(text: str) -> bool:
    """Whether it is mostly letters: prose, and not a line of a table, a path or a log of figures."""
    solid = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() or unicodedata.category(character)[0] == "M" for character in solid)
    return letters >= 0.6 * len(solid)
