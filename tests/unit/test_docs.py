"""The documents name files, modules and functions that exist, and every decision is in the index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from hurnet_stream.command_line import hurnet
from hurnet_stream.metrics import table
from hurnet_stream.settings import listing

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SETTINGS_IN = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # which names what is gone, too
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
CODE = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`([\w./]+(?:\.(?:py|c|lua|toml)|/))`(?: \(`(\w+)`\))?")
"""A file or folder in backticks, and a function or class of it if one follows in parentheses."""


def anchors(document: Path) -> set[str]:
    """What links may name in a document, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def sources() -> list[str]:
    """All files and folders of the code, from the repository's root; folders end in a slash."""
    rooms = [path for root in ("workers", "schemas", "tests", "deploy") for path in (ROOT / root).rglob("*")]
    there = [path for path in (*rooms, *ROOT.iterdir()) if "__pycache__" not in path.parts]
    return [path.relative_to(ROOT).as_posix() + "/" * path.is_dir() for path in there]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for link in LINK.findall(CODE.sub("", document.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {link}"


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md", "docs/testing.md"])
def test_every_file_that_is_named_exists_and_has_the_function_that_is_named(document: str) -> None:
    there, missing = sources(), list[str]()
    for name, function in NAMED.findall(CODE.sub("", (ROOT / document).read_text("utf-8"))):
        found = [path for path in there if f"/{path}".endswith(f"/{name}")]
        if not found:
            missing.append(name)
        elif function:
            source = (ROOT / found[0]).read_text("utf-8")
            if not re.search(rf"^\s*(def|class) {function}\b", source, re.MULTILINE):
                missing.append(f"{function} of {name}")
    assert not missing


@pytest.mark.parametrize("document", SETTINGS_IN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"HURNET(?:_[A-Z0-9]+)+\b", document.read_text("utf-8")))
    known = {setting.variable for setting in listing.settings()[0]} | {"HURNET_CONFIG", "HURNET_SECTION_NAME"}
    assert named <= known


def commands(document: Path) -> list[str]:
    """What a document says after `hurnet`, in blocks of code and between backticks."""
    text = document.read_text("utf-8")
    lines = [line.split(" #")[0] for block in CODE.findall(text) for line in block.splitlines()]
    typed = [found for line in lines for found in re.findall(r'(?:^|[$|&;("] *)hurnet ([^|&;)]+)', line)]
    return typed + re.findall(r"`hurnet ([^`]+)`", CODE.sub("", text))


@pytest.mark.parametrize("document", SETTINGS_IN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists_with_its_options(document: Path) -> None:
    for said in commands(document):
        name, *rest = said.split()
        if name.startswith("-") or name == "COMMAND":
            continue
        assert name in hurnet.commands, f"hurnet {said}"
        command = hurnet.commands[name]
        below = command.commands.values() if isinstance(command, click.Group) else ()
        known = {option for each in (command, *below) for taken in each.params for option in taken.opts}
        named = {word.split("=")[0].strip("'\",.") for word in rest if re.match(r"--?[a-z]", word)}
        assert named <= known | {"--help"}, f"hurnet {said}"


def test_every_benchmark_that_is_named_exists_and_the_list_of_them_is_complete() -> None:
    there = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("[a-z]*.py")}
    named = {name for path in DOCUMENTS for name in re.findall(r"\bONLY=(\w+)", path.read_text("utf-8"))}
    assert named <= there
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    listed = page.partition("# one of: ")[2].partition("make bench")[0].replace("#", " ").split()
    assert listed == sorted(there)


@pytest.mark.parametrize("document", ["README.md", "docs/testing.md", "docs/paper.md"])
def test_every_test_that_is_named_exists(document: str) -> None:
    named = re.findall(r"`((?:\w+/)?test_\w+)`", (ROOT / document).read_text("utf-8"))
    files = [path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert named
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}.py") for file in files)] == []


def test_every_metric_that_is_named_exists() -> None:
    named = re.findall(r"`(hurnet_[a-z_]+)`", (ROOT / "docs" / "operations.md").read_text("utf-8"))
    assert named
    assert set(named) <= {metric.name for metric in table.roles_by_metric()}


def test_the_page_of_metrics_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert page == table.table(), "python -m hurnet_stream.metrics.table > docs/metrics.md"


def test_every_name_of_the_code_in_the_glossary_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "workers").rglob("*.py")))
    code += "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "schemas").rglob("*.py")))
    named = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)`", (ROOT / "docs" / "glossary.md").read_text("utf-8"))
    defined = set(re.findall(r"^(?:class )?([A-Z]\w+)(?:[:(]| = |: )", code, re.MULTILINE))
    assert set(named) <= defined


def test_the_layers_are_those_that_the_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    told = " ".join((ROOT / "docs" / "architecture.md").read_text("utf-8").split())
    for package in ("hurnet_stream", "hurnet_stream.core"):
        (layers,) = (c["layers"] for c in contracts if c.get("containers") == [package])
        assert f"{package}: {' > '.join(layers)} " in told


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_decision_is_in_the_index_newest_first_and_says_what_it_is() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\)", index, re.MULTILINE)
    assert [name for _, name in listed] == [path.name for path in reversed(DECISIONS)]
    for path in DECISIONS:
        title, _, status, _, *rest = path.read_text("utf-8").splitlines()
        assert title.startswith(f"# {path.name[:4]} · "), path.name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d · (accepted|superseded by \[\d{4}\]\(\S+\))", status), path.name
        assert "## Choice" in rest, path.name
        assert len(rest) <= 60, f"{path.name} is too long to be read at once"
        (line,) = re.findall(rf"^\| \[{path.name[:4]}\].*$", index, re.MULTILINE)
        assert ("superseded" in status) == ("superseded" in line), path.name
