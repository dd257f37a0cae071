"""Wrong settings in words: by the variable's name, with what was probably meant, and without the values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hurnet.errors import ConfigurationError
from hurnet.settings.environment import PREFIX, meant

Sections = Mapping[str, Collection[str]]
"""The names of settings by section."""


def variable(section: str, name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{section}_{name}".upper()


def wrong(problems: Iterable[str]) -> ConfigurationError:
    """All in one line."""
    lines = list(problems)
    return ConfigurationError(f"wrong setting{'s' if lines[1:] else ''}: {'; '.join(lines)}")


def explained(error: ValidationError, sections: Sections) -> list[str]:
    """A line per setting; the given values are left out, since one may be a secret."""
    said: dict[str, list[str]] = {}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name, reason = _told(problem, sections)
        said.setdefault(name, []).append(reason)
    return [name + ", or ".join(dict.fromkeys(reasons)) for name, reasons in said.items()]


def _told(problem: ErrorDetails, sections: Sections) -> tuple[str, str]:
    """Which setting, and what is wrong with it. Only a file can name what isn't there: of the environment
    nothing else comes so far."""
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
    if problem["type"] == "value_error":  # of a whole section: it names the settings itself
        return "", reason
    return f"[{section}] in the settings file ", "must be a table"
