"""Keeps the settings' secrets out of everything that this process says.

Settings hold passwords as `SecretStr`, so that they are not printed by accident. This module is for texts
that others write: an exception of a client library may quote an address with its password.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote

from pydantic import BaseModel, SecretStr

SECRET_LENGTH_MIN = 4
"""Shorter secrets (in characters) are not looked for: they would blot out half of every line."""
HIDDEN = "(hidden)"

_SECRET = re.compile(r"(PASSWORD|TOKEN)$", re.IGNORECASE)  # and not PASSWORD_FILE, which holds a path
_USERINFO = re.compile(r"(://[^/\s@:]*:)(.*)@")  # scheme://user:password@host
RENEWED_MAX = 32
"""How many of the secrets that were renewed under a running worker are remembered, the latest ones."""
_known: set[str] = set()
_renewed: deque[str] = deque(maxlen=RENEWED_MAX)


def remember(settings: BaseModel) -> None:
    """From now on, `redacted` hides the secrets in `settings`."""
    _remember(_secrets(settings))


def remember_environment(environment: Mapping[str, str]) -> None:
    """From now on, `redacted` hides what looks like a secret in these HURNET_* variables.

    Settings that are refused hold secrets, too, and they never become `Settings`."""
    ours = {name: value for name, value in environment.items() if name.startswith("HURNET_")}
    _remember(value for name, value in ours.items() if _SECRET.search(name))
    _remember(password for value in ours.values() for password in _passwords(value))


def remember_renewed(secret: str) -> None:
    """From now on, `redacted` hides a secret that has taken the place of another one."""
    if secret not in _known and secret not in _renewed:
        _renewed.extend(_forms((secret, *_passwords(secret))) - _known)


def _remember(secrets: Iterable[str]) -> None:
    _known.update(_forms(secrets))


def _forms(secrets: Iterable[str]) -> set[str]:
    """The secrets as they may stand in texts."""
    forms = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    return {form for form in forms if len(form) >= SECRET_LENGTH_MIN}


def redacted(text: str) -> str:
    """`text` with each known secret replaced by "(hidden)"."""
    for secret in sorted([*_known, *_renewed], key=len, reverse=True):  # a secret may contain another one
        text = text.replace(secret, HIDDEN)
    return text


def without_password(url: str) -> str:
    """`url` with the password between its user and its host replaced by "(hidden)"."""
    return _USERINFO.sub(rf"\1{HIDDEN}@", url)


def _passwords(text: str) -> list[str]:
    return [password for _, password in _USERINFO.findall(text)]


def _secrets(settings: BaseModel) -> Iterator[str]:
    for _, value in settings:
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()
            yield from _passwords(value.get_secret_value())
        elif isinstance(value, str):
            yield from _passwords(value)
