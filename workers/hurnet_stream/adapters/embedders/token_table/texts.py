"""The texts that map.bin is made from: messages of programs, in the languages that `use` knows.

Translators write them for people, and packages ship them as catalogues (`.po` files of gettext). The packages
have permissive licences, and none of them has to do with the sets of questions that measure answers:

    package              licence         package             licence
    Django               BSD-3-Clause    Flask-AppBuilder    BSD-3-Clause
    Sphinx               BSD-2-Clause    indico              MIT
    apache-superset      Apache-2.0      django-oscar        BSD-3-Clause
    django-allauth       MIT

Which versions they are, and the digests of their files, stands in texts.txt, so that the texts are the same
for everybody.

    msgid "Hello %(name)s"    ─▶    "Hello"    en
    msgstr "Olá %(name)s"     ─▶    "Olá"      pt
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from zipfile import ZipFile

WHEELS: Final = Path(__file__).with_name("texts.txt")
LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
DOWNLOAD_TIMEOUT_S: Final = 900

_OF_LANGUAGE_MAX: Final = 4000
_ENGLISH_MAX: Final = 12_000
_LETTERS: Final = range(8, 301)

_CATALOGUE = re.compile(r"(?:locale|translations)/([a-z]{2})(?:[_-][A-Za-z]+)?/[^.]*\.po")
_FIELD = re.compile(r'(msgid|msgid_plural|msgstr)(?:\[\d\])? (".*")')
_MARKUP = re.compile(r"<[^>]+>|%\([^)]*\)[a-z]|%[a-z]|\{[^}]*\}|[*_`|]")


def download(folder: Path) -> None:
    """Have pip put the wheels into the folder; it refuses a file of another digest."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(WHEELS), "--dest", str(folder)]
    subprocess.run(command, check=True, timeout=DOWNLOAD_TIMEOUT_S)


def texts(folder: Path) -> list[str]:
    """Texts of the wheels in the folder, each once, in an order that depends on nothing but the texts."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for wheel in folder.glob("*.whl"):
        with ZipFile(wheel) as archive:
            for name in archive.namelist():
                match = re.search(_CATALOGUE, name)
                if match and match[1] in LANGUAGES:
                    for language, text in messages(archive.read(name).decode("utf-8"), match[1]):
                        found[language].add(text)
    chosen = (_some(found[language], language) for language in sorted(found))
    return sorted({text for language_texts in chosen for text in language_texts})


def messages(catalogue: str, language: str) -> Iterator[tuple[str, str]]:
    """The messages of a catalogue with their languages, without what is not said in words."""
    for line_field, text in _fields(catalogue):
        plain = " ".join(_MARKUP.sub(" ", text).split())
        if len(plain) in _LETTERS:
            yield language if line_field == "msgstr" else "en", plain


def _fields(catalogue: str) -> Iterator[tuple[str, str]]:
    """Each field of a catalogue, and its strings put together."""
    field, strings = "", ""
    for line in (*catalogue.splitlines(), ""):
        if field and line.startswith('"'):
            strings += ast.literal_eval(line)
            continue
        if field:
            yield field, strings
        match = _FIELD.fullmatch(line)
        field, strings = (match[1], ast.literal_eval(match[2])) if match else ("", "")


def _some(found: set[str], language: str) -> list[str]:
    """As many as are taken of a language, chosen by their digests."""
    most = _ENGLISH_MAX if language == "en" else _OF_LANGUAGE_MAX
    return sorted(found, key=lambda text: sha256(text.encode()).digest())[:most]
