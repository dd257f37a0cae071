"""API keys: who may do what, in which contexts.

    Authorization: Bearer hk_Zk9...        the key: 32 random bytes in base64; only its owner has it

    [[keys]]                               the table of it in the file HURNET_GATEWAY_KEYS
    name = "website"
    sha256 = "5e884898da28..."             the digest of the whole key: the file can't be used to log in
    rights = ["ask", "teach"]
    contexts = ["support", "faq-*"]        names, or beginnings of names
    rate = 20.0                            requests a second; without it HURNET_GATEWAY_RATE counts
    detail = "answer"                      it is shown answers alone; without it all that responders show
    expires = 2027-01-01

The key above may ask and teach in `support` and in all contexts whose names begin with `faq-`. Keys hold 256
random bits, so a digest without a salt can't be guessed backwards. Every digest in the file is compared, each
in a time that does not depend on where it differs.

The file is read again when it changes. A new file that is wrong, or gone, changes nothing: the keys of the
last good one stay in force, which the log and a metric say.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hurnet_schemas.detail import MOST, Detail
from hurnet_stream.errors import ConfigurationError

log = structlog.get_logger()

Right = Literal["ask", "teach", "forget", "watch"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
PREFIX: Final = "hk_"
"""Every key begins so, so that it is recognised where it should not be."""
KEYS_MOST: Final = 1_000
FILE_BYTES_MOST: Final = 1 << 20
LOOK_S: Final = 1.0
"""How often the file is looked at."""
EVERY_CONTEXT: Final = "*"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,63}\*?)$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class KeyTable(BaseModel):
    """One table `[[keys]]` of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    name: Name
    sha256: Digest
    rights: Annotated[list[Right], Field(min_length=1)]
    contexts: Annotated[list[Pattern], Field(min_length=1, max_length=1_000)] = [EVERY_CONTEXT]
    rate: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    detail: Detail = MOST
    expires: Annotated[datetime, Field(strict=True)] | Annotated[date, Field(strict=True)] | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: Annotated[list[KeyTable], Field(max_length=KEYS_MOST)] = []


@dataclass(frozen=True, slots=True)
class Key:
    """Somebody who was recognised. It does not hold the key itself."""

    name: str
    rights: frozenset[Right]
    contexts: tuple[str, ...]
    rate: float | None = None
    expires_s: float | None = None
    """Seconds since 1970."""
    digest: bytes = field(default=b"", repr=False)
    detail: Detail = MOST
    """The most that it is shown of a context."""

    @property
    def sees_texts(self) -> bool:
        """Whether it may read what contexts hold."""
        return self.detail == MOST

    def may(self, right: Right, context: str | None = None) -> bool:
        """Whether it has the right, and in this context if one is named."""
        return right in self.rights and (context is None or self.reaches(context))

    def reaches(self, context: str) -> bool:
        """Whether one of its patterns describes the context."""
        return any(
            context.startswith(pattern[:-1]) if pattern.endswith("*") else context == pattern
            for pattern in self.contexts
        )

    @property
    def reaches_all(self) -> bool:
        return EVERY_CONTEXT in self.contexts

    def expired(self, now_s: float) -> bool:
        return self.expires_s is not None and now_s >= self.expires_s


ANYBODY: Final = Key("anybody", frozenset(RIGHTS), (EVERY_CONTEXT,))
"""Who asks if there is no file of keys."""


class Keys:
    """The keys in force. Raises `ConfigurationError` if the file can't be used at the start.

    Without a file everybody is `ANYBODY`. The caller sees to it that only this machine can reach the gateway
    then. `now_s` gives seconds since 1970."""

    def __init__(self, path: Path | None, now_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now_s = now_s
        self._looked_s = now_s()
        self._stamp = _stamp(path) if path else None
        self._keys = read_keys(path) if path else ()
        self.trouble: str | None = None
        """Why the file as it is now is not in force; None if it is."""

    @property
    def open_to_all(self) -> bool:
        """Whether no key is needed."""
        return self._path is None

    def find(self, given: str | None) -> Key | None:
        """Who this is; None if nobody has this key, or it has expired."""
        if self._path is None:
            return ANYBODY
        self._refresh()
        if given is None or not given.startswith(PREFIX):
            return None
        digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        found: Key | None = None
        for key in self._keys:  # all of them, whichever it is
            if hmac.compare_digest(key.digest, digest):
                found = key
        return None if found is None or found.expired(self._now_s()) else found

    def holds(self, key: Key) -> bool:
        """Whether a key that was found before is in force still, as it was: for responses that take long."""
        self._refresh()
        return self._path is None or (key in self._keys and not key.expired(self._now_s()))

    def _refresh(self) -> None:
        """Reads the file again if it has changed."""
        now_s = self._now_s()
        if self._path is None or 0 <= now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                self.trouble = None  # the file that is in force is back
                return
            keys, self._stamp = read_keys(self._path), stamp
        except ConfigurationError as error:
            if str(error) != self.trouble:
                log.error(
                    "the file of keys can't be used, so the keys of before stay in force", why=str(error)
                )
            self.trouble = str(error)
            return
        self._keys, self.trouble = keys, None
        log.info("read the file of keys again", keys=len(keys))


def read_keys(path: Path) -> Sequence[Key]:
    """The keys in a file. Raises `ConfigurationError`, which names the table and what would be right, and
    repeats nothing of what stands there."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MOST + 1)
    except OSError as error:
        raise ConfigurationError(f"HURNET_GATEWAY_KEYS: can't read {path}: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MOST:
        raise ConfigurationError(f"HURNET_GATEWAY_KEYS: {path} is longer than {FILE_BYTES_MOST:,} bytes")
    try:
        tables = _File.model_validate(tomllib.loads(raw.decode())).keys
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"HURNET_GATEWAY_KEYS: {path} is not TOML: {_place(error)}") from None
    except ValidationError as error:
        raise ConfigurationError(f"HURNET_GATEWAY_KEYS: {path}: {_explained(error)}") from None
    _check_distinct(path, tables)
    return [_key(table) for table in tables]


def new_key() -> str:
    """A key that nobody has yet."""
    return PREFIX + secrets.token_urlsafe(32)


def table_of(table: KeyTable) -> str:
    """The table of a key as it stands in the file."""
    lines = ["[[keys]]", f'name = "{table.name}"', f'sha256 = "{table.sha256}"']
    lines += [f"rights = {_listed(table.rights)}", f"contexts = {_listed(table.contexts)}"]
    if table.rate is not None:
        lines.append(f"rate = {float(table.rate)!r}")
    if table.detail != MOST:
        lines.append(f'detail = "{table.detail}"')
    if table.expires is not None:
        lines.append(f"expires = {table.expires.isoformat()}")
    return "\n".join(lines) + "\n"


def digest_of(key: str) -> str:
    """What the file holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def what_is_right(field_name: str) -> str:
    """What a field of a table must be, for a person."""
    return _RIGHT.get(field_name, "one of the fields of a key")


def _key(table: KeyTable) -> Key:
    return Key(
        table.name,
        frozenset(table.rights),
        tuple(table.contexts),
        table.rate,
        _expiry_s(table.expires),
        bytes.fromhex(table.sha256),
        table.detail,
    )


def _expiry_s(expires: datetime | date | None) -> float | None:
    """A day expires when it begins. Times without a zone are in UTC."""
    if expires is None:
        return None
    moment = expires if isinstance(expires, datetime) else datetime(expires.year, expires.month, expires.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _check_distinct(path: Path, tables: Sequence[KeyTable]) -> None:
    for what, values in (("name", [t.name for t in tables]), ("sha256", [t.sha256 for t in tables])):
        if twice := next((n for n, value in enumerate(values) if value in values[:n]), None):
            raise ConfigurationError(
                f"HURNET_GATEWAY_KEYS: {path}: table {twice + 1} has the {what} of an earlier one"
            )


def _stamp(path: Path) -> tuple[int, int, int]:
    """What differs if a file was changed or replaced. Raises `ConfigurationError` if there is none."""
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"HURNET_GATEWAY_KEYS: can't read {path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _place(error: Exception) -> str:
    """Where a file stops being TOML; what stands there is not repeated."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    _, found, place = str(error).rpartition("(at ")
    return f"at {place.rstrip(')')}" if found else "it can't be parsed"


def _explained(error: ValidationError) -> str:
    """The first fault: where it is, and what would be right."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place, *rest = [part for part in first["loc"] if part != "keys"] or ["keys"]
    where = f"table {place + 1}" if isinstance(place, int) else f"{str(place)[:40]!r}"
    field_name = next((str(part)[:40] for part in rest if isinstance(part, str)), "")
    return f"{where}{f', {field_name}' if field_name else ''}: {_RIGHT.get(field_name, first['msg'])}"


_RIGHT: Final = {
    "name": "1 to 64 of A-Z a-z 0-9 . _ -, and first a letter or digit",
    "sha256": "64 hexadecimal digits in lower case, as `hurnet keys new` prints them",
    "rights": f"a list of some of {', '.join(RIGHTS)}",
    "contexts": 'a list of names of contexts, or of beginnings with a * behind, as in ["support", "faq-*"]',
    "rate": "a number above 0: requests a second",
    "detail": "answer, scores or texts",
    "expires": "a date or a time, as in 2027-01-01 or 2027-01-01T12:00:00Z",
}


def _listed(words: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
