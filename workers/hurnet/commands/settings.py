"""`hurnet settings`: every setting with its default and meaning."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import click

Variable = tuple[str, str, str]
"""Environment variable, default ("" for none), meaning."""


@click.command()
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "env", "toml"]),
    default="table",
    help="For reading, or a file to begin with: environment variables, TOML.",
)
def settings(style: str) -> None:
    """List every setting with its default and meaning."""
    from hurnet.settings.settings import variables

    if style == "table":
        from hurnet.terminal.screen import console, table

        console().print(table(("setting", "default", "meaning"), variables()))
        return
    shapes: dict[str, Callable[[list[Variable]], Iterator[str]]] = {"env": env_lines, "toml": toml_lines}
    click.echo("\n".join(shapes[style](variables())))


def env_lines(variables: list[Variable]) -> Iterator[str]:
    """A shell or an env file can read them; those without a default are comments."""
    for name, default, meaning in variables:
        yield f"# {meaning}"
        yield f"{name}={shlex.quote(default)}" if _given(default) else f"#{name}="


def toml_lines(variables: list[Variable]) -> Iterator[str]:
    """For --config and HURNET_CONFIG."""
    section = ""
    for name, default, meaning in variables:
        _, table, key = name.lower().split("_", 2)
        if table != section:
            yield f"[{table}]" if not section else f"\n[{table}]"
            section = table
        yield f"# {meaning}"
        yield f"{key} = {_toml(default)}" if _given(default) else f"# {key} ="


def _given(default: str) -> bool:
    return default not in ("", "the host's name")


def _toml(default: str) -> str:
    if default in ("True", "False"):
        return default.lower()
    try:
        float(default)
    except ValueError:
        return json.dumps(default)  # a JSON string is a TOML string
    return default
