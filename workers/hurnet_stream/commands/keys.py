"""`hurnet keys`: keys for programs and people that use the gateway."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.gateway.keys import Key, KeyTable

EPILOG = """\b
Examples:
  hurnet keys new website --rights ask --contexts support,faq-* --rate 20 >> keys.toml
  hurnet keys list
  echo hk_... | hurnet keys check
"""

_FILE = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of keys. Default: the one that HURNET_GATEWAY_KEYS names.",
)


@click.group(epilog=EPILOG)
def keys() -> None:
    """Make and look at keys of the gateway.

    The file that HURNET_GATEWAY_KEYS names has a table for each key, with its rights and the digest of the
    key; the key itself is nowhere but with its owner. The gateway reads the file again when it changes: to
    take a key out of force, take its table out of the file.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--rights",
    default="ask",
    show_default=True,
    help="Some of ask, teach, forget, watch, with commas between. watch: status and dead letters.",
)
@click.option(
    "--contexts",
    default="*",
    show_default=True,
    help="Names of contexts, or beginnings with a * behind, with commas between.",
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Requests a second. Default: HURNET_GATEWAY_RATE."
)
@click.option(
    "--detail",
    type=click.Choice(["answer", "scores", "texts"]),
    default="texts",
    show_default=True,
    help="The most that it is shown: answers alone; other candidates and scores, too; or texts, too.",
)
@click.option("--expires", metavar="DATE", help="The day on which it is in force no more, as in 2027-01-01.")
def new(name: str, rights: str, contexts: str, **chosen: Any) -> None:
    """Make a key and print it, this once.

    The key goes to standard error. Its table, for the file of keys, goes to standard output, so that >> adds
    it to the file.
    """
    from hurnet_stream.gateway.keys import digest_of, new_key, table_of
    from hurnet_stream.terminal.screen import hush, say

    hush()
    key = new_key()
    say(table_of(_table(name, digest_of(key), rights, contexts, chosen)).rstrip())
    say(key, err=True)
    if sys.stderr.isatty():
        say("This is the key. It is shown only now; its table above is for the file of keys.", err=True)


@keys.command("list")
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_keys(file: Path | None, as_json: bool) -> None:
    """List the keys of the file, without digests. Exit code 1: one has expired."""
    import time

    from hurnet_stream.terminal.screen import console, hush, say_json, table

    hush()
    found = [_described(key, time.time()) for key in _keys(file)]
    if as_json:
        for one in found:
            say_json(one)
    else:
        columns = ("name", "rights", "contexts", ">rate", "detail", "expires")
        console().print(
            table(columns, [[_cell(one[column.strip(">")]) for column in columns] for one in found])
        )
    sys.exit(NOT_WELL if any(one["expired"] for one in found) else DONE)


@keys.command()
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path | None, as_json: bool) -> None:
    """Say what the key on standard input may do. Exit code 3: it is not in force."""
    import time

    from hurnet_stream.gateway.keys import digest_of
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    digest = bytes.fromhex(digest_of(sys.stdin.readline(1_000).strip()))
    key = next((key for key in _keys(file) if key.digest == digest), None)
    now_s = time.time()
    if key is None or key.expired(now_s):
        say("this key is not in force: " + ("it has expired" if key else "it is not in the file"), err=True)
        sys.exit(NOT_THERE)
    told = _described(key, now_s)
    if as_json:
        say_json(told)
    else:
        say(f"{told['name']} may {', '.join(told['rights'])} in {', '.join(told['contexts'])}")


def _table(name: str, digest: str, rights: str, contexts: str, chosen: Mapping[str, Any]) -> KeyTable:
    """`chosen` are `rate`, `detail` and `expires`. Raises `UsageError` if something in it is wrong."""
    from pydantic import ValidationError

    from hurnet_stream.gateway.keys import KeyTable, what_is_right

    expires = chosen["expires"]
    try:
        return KeyTable.model_validate(
            {
                "name": name,
                "sha256": digest,
                "rights": _listed(rights),
                "contexts": _listed(contexts),
                "rate": chosen["rate"],
                "detail": chosen["detail"],
                "expires": None if expires is None else date.fromisoformat(expires),
            }
        )
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise click.UsageError(f"{field} must be {what_is_right(field)}") from None
    except ValueError:
        raise click.UsageError(f"expires must be {what_is_right('expires')}") from None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _keys(file: Path | None) -> list[Key]:
    from hurnet_stream.gateway.keys import read_keys
    from hurnet_stream.settings import settings

    path = file or settings.load().gateway.keys
    if path is None:
        raise click.UsageError("Name the file (--file), or set HURNET_GATEWAY_KEYS.")
    return list(read_keys(path))


def _described(key: Key, now_s: float) -> dict[str, Any]:
    from hurnet_stream.terminal.screen import moment

    return {
        "name": key.name,
        "rights": sorted(key.rights),
        "contexts": list(key.contexts),
        "rate": key.rate,
        "detail": key.detail,
        "expires": None if key.expires_s is None else moment(round(1000 * key.expires_s)),
        "expired": key.expired(now_s),
    }


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
