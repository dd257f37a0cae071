"""Secrets of the settings, kept out of whatever this process says.

Settings hold passwords as `SecretStr`, so that they are not printed by accident. What this module adds is for
texts that we don't write: an exception of a client library may quote an address with its password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote

from pydantic import BaseModel, SecretStr

LEAST = 4
"""Characters of a secret that is looked for. A shorter one would blot out half of every line."""

_USERINFO = re.compile(r"://[^/\s@:]*:(.*)@")
_known: set[str] = set()


def remember(settings: BaseModel) -> None:
    """From now on `redacted` hides the secrets in `settings`."""
    _remember(_secrets(settings))


def remember_environment(environment: Mapping[str, str]) -> None:
    """The same for what looks like a secret in the environment: settings that are refused hold some, too."""
    ours = {name: value for name, value in environment.items() if name.startswith("HURNET_")}
    _remember(value for name, value in ours.items() if "PASSWORD" in name)
    _remember(found for value in ours.values() for found in _USERINFO.findall(value))


def _remember(secrets: Iterable[str]) -> None:
    found = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    _known.update(form for form in found if len(form) >= LEAST)


def redacted(text: str) -> str:
    """`text` with each secret that is known replaced."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, "(hidden)")
    return text


def _secrets(settings: BaseModel) -> Iterator[str]:
    for _, value in settings:
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()
            yield from _USERINFO.findall(value.get_secret_value())
        elif isinstance(value, str):
            yield from _USERINFO.findall(value)
