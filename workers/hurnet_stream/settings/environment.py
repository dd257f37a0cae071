"""The variables HURNET_* in the environment: settings, variables of Kubernetes, and typing errors.

Kubernetes puts the addresses of every Service into the environment of every container. Those of a Service
with a name like hurnet-redis look like our settings (HURNET_REDIS_PORT=tcp://10.0.0.1:6379); they are passed
over. So are variables without a value, because Compose files and charts use them to say that something is not
set.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "HURNET_"
_ADDRESS: Final = r"(?:tcp|udp|sctp)://.*"
# How the names of Kubernetes' variables end, and what their values look like.
_SERVICE_LINKS: Final = (
    (r"SERVICE_HOST", r".*"),
    (r"SERVICE_PORT(?:_\w+)?", r"\d{1,5}"),
    (r"PORT(?:_\d{1,5}_(?:TCP|UDP|SCTP))?", _ADDRESS),
    (r"PORT_\d{1,5}_(?:TCP|UDP|SCTP)_PROTO", r"tcp|udp|sctp"),
    (r"PORT_\d{1,5}_(?:TCP|UDP|SCTP)_PORT", r"\d{1,5}"),
    (r"PORT_\d{1,5}_(?:TCP|UDP|SCTP)_ADDR", r".*"),
)


@dataclass(frozen=True, slots=True)
class Variables:
    """The settings that are `given`, by name; the names that are `unknown`, and those that are `ignored`."""

    given: Mapping[str, str]
    unknown: Collection[str]
    ignored: Collection[str]


def variables(known: Collection[str], environment: Mapping[str, str] | None = None) -> Variables:
    """All variables that begin with HURNET_, in upper or lower case."""
    given: dict[str, str] = {}
    unknown, ignored = [], []
    for raw, value in sorted((os.environ if environment is None else environment).items()):
        name = raw.upper()
        if not name.startswith(PREFIX):
            continue
        if not value or _is_service_link(name, value):
            ignored.append(raw)
        elif name in known:
            given[name] = value
        else:
            unknown.append(raw)
    return Variables(given, unknown, ignored)


def _is_service_link(name: str, value: str) -> bool:
    return any(
        re.fullmatch(rf"HURNET_(?:\w+_)?{form}", name) and re.fullmatch(content, value)
        for form, content in _SERVICE_LINKS
    )


def meant(name: str, known: Collection[str]) -> str:
    """A hint at the known name that is most like `name`, or "" if none is."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
