"""The console's files: how they are served, and what holds for all of them. What they do: tests/browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hurnet_schemas.answer import MixReceipt, Receipt, WeightsReceipt
from hurnet_stream import visible
from hurnet_stream.gateway import pages

CONSOLE = Path(pages.__file__).parent / "console"
MODULES = sorted(CONSOLE.rglob("*.js"))
TEXTS = json.loads((CONSOLE / "texts" / "en.json").read_text("utf-8"))
LEVELS = ("main.js", "views", "parts", "core")


def client(console: bool = True) -> TestClient:
    gateway: Any = SimpleNamespace(settings=SimpleNamespace(gateway=SimpleNamespace(console=console)))
    return TestClient(Starlette(routes=pages.routes(gateway)))


def test_every_file_is_served_with_its_type() -> None:
    served = client()
    for path in (each for each in CONSOLE.rglob("*") if each.is_file()):
        response = served.get(f"/console/{path.relative_to(CONSOLE)}")
        assert response.status_code == 200, path
        assert response.headers["content-type"] == pages.MEDIA_TYPES[path.suffix]
        assert response.content == path.read_bytes()
    assert served.get("/").content == (CONSOLE / "index.html").read_bytes()


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
def test_a_file_that_the_browser_has_is_not_sent_again(known: str) -> None:
    served = client()
    tag = served.get("/").headers["etag"]
    response = served.get("/", headers={"If-None-Match": known.format(tag=tag)})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    assert served.get("/", headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "nothing.js",
            "",
            "views",
            "views/",
            "../pages.py",
            "..%2fpages.py",
            "%2e%2e/pages.py",
            "main.js%00",
        ),
        *("/etc/passwd", "core\\dom.js", "MAIN.JS", "x" * 10_000),
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    assert client().get(f"/console/{path}").status_code == 404


def test_it_can_be_off() -> None:
    assert client(console=False).get("/").status_code == 404


def test_files_only_read() -> None:
    assert client().post("/").status_code == 405


def test_each_word_on_the_page_is_a_text_and_no_text_is_left_over() -> None:
    sources = [path.read_text("utf-8") for path in (*MODULES, CONSOLE / "index.html")]
    code = re.sub(r"^\s*//.*", "", "\n".join(sources), flags=re.MULTILINE)
    named = set(re.findall(r'(?:\bt|phrase|hasText)\(\s*"([a-z_.0-9-]+)"', code))
    named |= set(re.findall(r'data-(?:text|label)="([^"]+)"', code))
    assert named - set(TEXTS) == set()
    # Some names are put together: `column.${name}`. For these the beginning must be in use.
    literals = set(re.findall(r'"([a-z]+\.[a-z_.]+)"', code))
    prefixes = tuple(re.findall(r"[`]([a-z]+\.(?:[a-z]+\.)*)\$\{", code)) + tuple(
        f"{view}." for view in ("ask", "teach", "watch", "contexts", "receipts")
    )
    assert [
        n for n in TEXTS if n not in named | literals | {"language.direction"} and not n.startswith(prefixes)
    ] == []


def test_each_field_of_a_receipt_has_a_name_on_the_page() -> None:
    fields = {name for kind in (Receipt, WeightsReceipt, MixReceipt) for name in kind.model_fields}
    assert {f"receipt.{name}" for name in fields} - set(TEXTS) == set()


def test_texts_have_no_markup_and_no_empty_places() -> None:
    for name, text in TEXTS.items():
        for form in text.values() if isinstance(text, dict) else [text]:
            assert form.strip() == form != "", name
            assert not re.search(r"[<>]|\{\W|\{\}", form.replace("›", "")), name
        assert not isinstance(text, dict) or set(text) == {"one", "other"}, name


def test_no_string_becomes_markup_or_code_and_nothing_is_fetched_from_elsewhere() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|ContextualFragment"
        r"|setAttribute\(.style|\.cssText|localStorage|document\.cookie|srcdoc|javascript:"
    )
    for path in (each for each in CONSOLE.rglob("*") if each.is_file()):
        text = path.read_text("utf-8")
        assert not forbidden.search(text), path
        addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, path
    page = (CONSOLE / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]+src=)", page)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CONSOLE)))
def test_a_module_can_be_read(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("// ")
    assert len(lines) < 250


def test_modules_import_one_way() -> None:
    """main > views > parts > core"""
    for path in MODULES:
        own = LEVELS.index(path.relative_to(CONSOLE).parts[0])
        for target in re.findall(r'(?:from|import\()\s*["`]([^"`]+)', path.read_text("utf-8")):
            found = (path.parent / target).resolve().relative_to(CONSOLE.resolve())
            assert LEVELS.index(found.parts[0]) >= own, f"{path}: {target}"


def test_unseen_characters_are_those_of_the_terminal() -> None:
    """The page shows line ends and tabs as they are; all else that hides is the same in both places."""
    script = (CONSOLE / "core" / "dom.js").read_text("utf-8")
    pattern = "".join(
        re.findall(r'^\s+"(.*)"', script.split("const UNSEEN")[1].split(");")[0], re.MULTILINE)[:-1]
    )  # the last is the flag
    ours = re.compile(_python(pattern))
    for code in range(0x110000):
        character = chr(code)
        expected = visible.visible(character) != character and character not in "\n\t"
        assert bool(ours.search(character)) == expected, hex(code)


def _python(pattern: str) -> str:
    """JavaScript's class of characters as Python writes it."""
    escaped = re.sub(r"\\\\u\{?([0-9a-f]{4,5})\}?", lambda found: f"\\U{int(found[1], 16):08x}", pattern)
    return escaped.removesuffix('"')
