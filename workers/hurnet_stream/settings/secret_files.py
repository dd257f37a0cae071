"""Secrets that stand in files, as container platforms mount them: HURNET_KAFKA_PASSWORD_FILE and the like.

A secret NAME may be given as itself or by the path of a file, NAME_FILE. The file is read at the start, so
that a mistake shows at once, and again for each new connection, so that a password that was changed is picked
up without a restart:

    start                    /run/secrets/kafka holds "one"   -> the worker logs in with "one"
    an operator changes it   the broker, then the file        -> open connections stay as they are
    the next connection      the file holds "two"             -> the worker logs in with "two"
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from pydantic import SecretStr, model_validator

from hurnet_stream.settings import redaction
from hurnet_stream.settings.section import Section

SECRET_BYTES_MAX: Final = 64 << 10
"""Larger than any password or token: a file of this size is another one than was meant."""
_READABLE_BY_OTHERS: Final = 0o007


class SectionWithSecrets(Section):
    """A group of settings of which some are secrets. Each of these, NAME, has a NAME_file beside it."""

    variables: ClassVar[str]
    """What the names of its variables begin with, as in HURNET_KAFKA_."""

    @classmethod
    def secret_names(cls) -> list[str]:
        """The settings that may come from files."""
        return [name.removesuffix("_file") for name in cls.model_fields if _names_a_secret(cls, name)]

    @model_validator(mode="after")
    def _read_secrets(self) -> SectionWithSecrets:
        for name in self.secret_names():
            path: Path | None = getattr(self, f"{name}_file")
            if path is None:
                continue
            variable = f"{self.variables}{name.upper()}"
            if name in self.model_fields_set:
                raise ValueError(f"{variable} and {variable}_FILE are both set: leave one of them out")
            try:
                secret = read(path)
            except ValueError as error:
                raise ValueError(f"{variable}_FILE: {error}") from None
            # The model is frozen for everybody else.
            object.__setattr__(self, name, SecretStr(secret) if _is_secret(type(self), name) else secret)
        return self

    def current(self, name: str) -> str | None:
        """The secret as its file has it now. Without a file, and if that can't be read at the moment because
        it is being replaced, as it was at the start."""
        path: Path | None = getattr(self, f"{name}_file")
        if path is not None:
            with suppress(ValueError):
                secret = read(path)
                redaction.remember_renewed(secret)
                return secret
        value: SecretStr | str | None = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value


def read(path: Path) -> str:
    """The secret in a file, without the line's end behind it. Raises ValueError, which names the file and
    never what is in it."""
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from None
    if len(raw) > SECRET_BYTES_MAX:
        raise ValueError(f"{path} is larger than {SECRET_BYTES_MAX:,} bytes: it can't be a secret")
    try:
        secret = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no UTF-8 text") from None
    if not secret:
        raise ValueError(f"{path} is empty")
    if any(end in secret for end in "\r\n\0"):
        raise ValueError(f"{path} holds several lines, and a secret is one")
    return secret


def is_open_to_others(path: Path) -> bool:
    """Whether any user of this machine may read or change the file."""
    try:
        return bool(path.stat().st_mode & _READABLE_BY_OTHERS)
    except OSError:
        return False


def _names_a_secret(section: type[Section], name: str) -> bool:
    return name.endswith("_file") and name.removesuffix("_file") in section.model_fields


def _is_secret(section: type[Section], name: str) -> bool:
    return section.model_fields[name].annotation is not str
