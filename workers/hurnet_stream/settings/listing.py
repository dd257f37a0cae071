"""Every setting as a person looks it up: the value in force, where that is from, its unit, its meaning."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings import redaction
from hurnet_stream.settings.explained import variable
from hurnet_stream.settings.settings import Settings, config_file, fields, from_environment, from_file, load
from hurnet_stream.settings.types import Unit

FIRST: Final = (
    "HURNET_KAFKA_BOOTSTRAP",
    "HURNET_REDIS_URL",
    "HURNET_EMBEDDER_NAME",
    "HURNET_RESPONDER_THRESHOLD",
    "HURNET_RESPONDER_ERROR_RATE",
    "HURNET_METRICS_PORT",
    "HURNET_LOG_FORMAT",
)
"""What one sets before anything else."""
PAPER: Final = "paper"
"""The section that hardly anybody needs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `value` is the one in force, as text and without secrets; "" means that there is none."""

    variable: str
    section: str
    name: str
    value: str
    source: str
    unit: str
    default: str
    meaning: str


def settings() -> tuple[list[Setting], str]:
    """All settings, in order, and what is wrong with them, if anything is.

    If something is wrong, values are shown as they were given, since nothing is in force then."""
    redaction.remember_environment(os.environ)
    in_file, environment, problem = {}, from_environment(), ""
    loaded: Settings | None = None
    try:
        in_file = from_file(config_file())
        loaded = load()
    except ConfigurationError as error:
        problem = str(error)
    sources = {"environment": environment, f"file {config_file()}": in_file}
    return list(_settings(sources, loaded)), problem


def _settings(sources: Mapping[str, Mapping[str, Any]], loaded: Settings | None) -> Iterator[Setting]:
    for section, group in fields().items():
        for name, field in group.items():
            source, given = _given(sources, section, name)
            default = "" if field.default_factory else _text(field.default, field)
            if loaded is not None:
                value = _text(getattr(getattr(loaded, section), name), field)
            else:
                value = default if given is None else _text(given, field)
            named = variable(section, name), section, name
            yield Setting(*named, value, source, _unit(field), default, field.description or "")


def _given(sources: Mapping[str, Mapping[str, Any]], section: str, name: str) -> tuple[str, Any]:
    """Where a setting is from, and what stands there; ("default", None) if it is not set."""
    for source, sections in sources.items():
        table = sections.get(section)
        if isinstance(table, Mapping) and name in table:
            return source, table[name]
    return "default", None


def _text(value: Any, field: FieldInfo) -> str:
    if value is None:
        return ""
    # A value that was refused is still plain text, so the field says whether it is a secret.
    if SecretStr in (field.annotation, *get_args(field.annotation)):
        return redaction.HIDDEN
    return redaction.without_password(str(value))


def _unit(field: FieldInfo) -> str:
    return next((each.name for each in field.metadata if isinstance(each, Unit)), "")
