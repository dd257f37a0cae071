"""What is wrong with settings, in words: the variable, what was probably meant, and never the value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.environment import PREFIX, meant

Sections = Mapping[str, Collection[str]]
"""The names of the settings, by section."""


def variable(section: str, name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{section}_{name}".upper()


def wrong(problems: Iterable[str]) -> ConfigurationError:
    """One error that tells all problems in one line."""
    lines = list(problems)
    return ConfigurationError(f"wrong setting{'s' if lines[1:] else ''}: {'; '.join(lines)}")


def explained(error: ValidationError, sections: Sections, tables: Sections) -> list[str]:
    """One line for each setting that is wrong, without its value, which may be a secret. `tables` are those
    sections that have a table for each thing of their kind, as in [topics.tickets]."""
    said: dict[str, list[str]] = {}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        section = str(problem["loc"][0]) if problem["loc"] else ""
        named = section in tables and len(problem["loc"]) > 1
        name, reason = _told_of_table(problem, tables[section]) if named else _told(problem, sections)
        said.setdefault(name, []).append(reason)
    return [name + ", or ".join(dict.fromkeys(reasons)) for name, reasons in said.items()]


def _told(problem: ErrorDetails, sections: Sections) -> tuple[str, str]:
    """Which setting, and what is wrong with it."""
    # Names that do not exist are from the file: unknown variables were refused before.
    section, *rest = [str(part) for part in problem["loc"]] or [""]
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        if not rest:
            return f"[{section}] in the settings file ", f"is no section{meant(section, sections)}"
        return (
            f"{rest[0]} of [{section}] in the settings file ",
            f"is no setting{meant(rest[0], sections[section])}",
        )
    if rest:
        return f"{variable(section, rest[0])}: ", reason
    if problem["type"] == "value_error":  # a check of a whole section, whose text names the settings
        return "", reason
    return f"[{section}] in the settings file ", "must be a table"


def _told_of_table(problem: ErrorDetails, names: Collection[str]) -> tuple[str, str]:
    """Which setting of a table like [topics.tickets], and what is wrong with it."""
    section, table, *rest = [str(part) for part in problem["loc"]]
    where = f"[{section}.{table}] in the settings file "
    reason = problem["msg"].removeprefix("Value error, ")
    if rest == ["[key]"]:
        return where, f"has no name that this can have: {reason}"
    if not rest:
        return where, "must be a table"
    setting = ".".join(rest)
    if problem["type"] == "extra_forbidden":
        return f"{setting} of {where}", f"is no setting{meant(setting, names)}"
    return f"{setting} of {where}", f"is wrong: {reason}"
