"""`hurnet settings`: the settings in force, where each is from, and what it means."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hurnet_stream.settings.listing import Setting

EPILOG = """\b
Examples:
  hurnet settings
  hurnet settings --all
  hurnet settings --format toml > hurnet.toml    # then: hurnet --config hurnet.toml status
"""

FIRST_TITLE = "What one sets first"
GIVEN_TITLE = "Also set here"
OTHERS_TITLE = "All others have their defaults (`hurnet settings --all` explains them)"
PAPER_TITLE = "The paper's chapters: not needed, measured no better"


@click.command(epilog=EPILOG)
@click.option("--all", "everything", is_flag=True, help="Explain every setting, not only the first ones.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of all settings.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "env", "toml"]),
    default="table",
    help="env, toml: print a file of all defaults to begin with, for a shell or for --config.",
)
def settings(everything: bool, as_json: bool, style: str) -> None:
    """Show the settings: value, source, unit, meaning.

    A setting is taken from its environment variable, otherwise from the settings file (HURNET_CONFIG or
    --config), otherwise it has its default. Passwords are hidden.
    """
    from hurnet_stream.settings import listing
    from hurnet_stream.terminal.screen import console, hush, say, say_json

    hush()
    listed, problem = listing.settings()
    if as_json:
        say_json([described(setting) for setting in listed])
    elif style != "table":
        shapes: dict[str, Callable[[Sequence[Setting]], Iterator[str]]] = {
            "env": env_lines,
            "toml": toml_lines,
        }
        say("\n".join(shapes[style](listed)))
    else:
        for part in explained(listed) if everything else summarised(listed):
            console().print(part)
    if problem:
        say(f"problem: {problem}", err=True)


def described(setting: Setting) -> dict[str, Any]:
    """As a JSON object."""
    from dataclasses import asdict

    from hurnet_stream.settings.listing import FIRST

    return asdict(setting) | {"needed_first": setting.variable in FIRST}


def summarised(listed: Sequence[Setting]) -> Iterator[RenderableType]:
    """The first ones and those that are set here with their meanings, and the names of all others."""
    from hurnet_stream.settings.listing import FIRST, PAPER
    from hurnet_stream.terminal.screen import facts

    first = [setting for setting in listed if setting.variable in FIRST]
    given = [setting for setting in listed if setting.source != "default" and setting not in first]
    others = [setting for setting in listed if setting not in first and setting not in given]
    yield from _chapter(FIRST_TITLE, first)
    if given:
        yield from _chapter(GIVEN_TITLE, given)
    needed = [setting for setting in others if setting.section != PAPER]
    papers = [setting for setting in others if setting.section == PAPER]
    for title, chosen in ((OTHERS_TITLE, needed), (PAPER_TITLE, papers)):
        yield f"\n{title}"
        yield facts(
            (f"  {section}", " ".join(setting.variable for setting in group))
            for section, group in groupby(chosen, key=lambda setting: setting.section)
        )


def explained(listed: Sequence[Setting]) -> Iterator[RenderableType]:
    """Every setting with its meaning: the first ones, then section by section, the paper's last."""
    from hurnet_stream.settings.listing import FIRST, PAPER

    yield from _chapter(FIRST_TITLE, [setting for setting in listed if setting.variable in FIRST])
    others = [setting for setting in listed if setting.variable not in FIRST]
    for section, group in groupby(others, key=lambda setting: setting.section):
        yield from _chapter(PAPER_TITLE if section == PAPER else section, list(group))


def _chapter(title: str, settings: Sequence[Setting]) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    from hurnet_stream.visible import visible

    yield Text(f"\n{title}", style="bold")
    for setting in settings:
        value = f"{setting.value} {setting.unit}".strip() if setting.value else "not set"
        yield Text(visible(f"  {setting.variable} = {value}  ({setting.source})"))
        yield Padding(Text(setting.meaning, style="dim"), (0, 0, 0, 6))


def env_lines(listed: Sequence[Setting]) -> Iterator[str]:
    """The defaults as assignments for a shell or an env file; those without a default are comments."""
    for setting in listed:
        yield f"# {_comment(setting)}"
        default = setting.default
        yield f"{setting.variable}={shlex.quote(default)}" if default else f"#{setting.variable}="


def toml_lines(listed: Sequence[Setting]) -> Iterator[str]:
    """The defaults as a file for --config and HURNET_CONFIG."""
    for number, (section, group) in enumerate(groupby(listed, key=lambda setting: setting.section)):
        yield f"[{section}]" if not number else f"\n[{section}]"
        for setting in group:
            yield f"# {_comment(setting)}"
            name, default = setting.name, setting.default
            yield f"{name} = {_toml(default)}" if default else f"# {name} ="


def _comment(setting: Setting) -> str:
    return f"{setting.meaning} Unit: {setting.unit}." if setting.unit else setting.meaning


def _toml(default: str) -> str:
    if default in ("True", "False"):
        return default.lower()
    try:
        float(default)
    except ValueError:
        return json.dumps(default)  # a JSON string is a TOML string
    return default
