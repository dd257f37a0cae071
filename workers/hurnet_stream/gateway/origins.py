"""Whom a request is addressed to, and which page sent it.

A page of a stranger, open in the browser of somebody who reaches the gateway, must not use it:

    Host: attacker.example           a name that was pointed at 127.0.0.1 (DNS rebinding)     421
    Origin: https://attacker.example  a script or a form of another site                      403
    Sec-Fetch-Site: cross-site        the same without an origin, such as an image            403

The host has to be an IP address, which nobody can point elsewhere, a name of loopback, the gateway's own
name, or one of HURNET_GATEWAY_HOSTS. The origin has to be the host itself, under http or https since a proxy
may add TLS, or one of HURNET_GATEWAY_ORIGINS. Programs send no origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from hurnet_stream.gateway.problems import Problem
from hurnet_stream.settings.gateway import GatewaySettings

ANY: Final = "*"
_LOOPBACK: Final = frozenset({"localhost"})
_METHODS: Final = "GET, POST, DELETE"
_ASKED_WITH: Final = (
    "authorization, content-type, hurnet-after, idempotency-key, traceparent, x-request-id, "
    "mcp-protocol-version, mcp-session-id"
)
_SHOWN: Final = "hurnet-watermarks, idempotency-replayed, retry-after, x-request-id, mcp-session-id"


@dataclass(frozen=True, slots=True)
class Origins:
    """The names and origins that are allowed."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: GatewaySettings) -> Origins:
        """Those of the settings."""
        hosts = {name.lower() for name in _listed(settings.hosts)} | {settings.host.lower().strip("[]")}
        return cls(frozenset(hosts) | _LOOPBACK, frozenset(o.lower() for o in _listed(settings.origins)))

    def check_host(self, hosts: list[str]) -> str:
        """The one header Host, in lower case. Raises `Problem` 400 or 421."""
        if len(hosts) != 1 or not (name := _name_of(hosts[0])):
            raise Problem(400, "a request needs one header Host, as in 127.0.0.1:8080")
        if ANY not in self.hosts and name not in self.hosts and not _is_address(name):
            raise Problem(
                421,
                "this gateway does not answer to the name in the header Host; HURNET_GATEWAY_HOSTS lists"
                " the names that it answers to",
            )
        return hosts[0].lower()

    def check_origin(self, headers: Mapping[str, str], host: str) -> str | None:
        """The foreign origin that is allowed, or None if the request comes from here or from no page.

        Raises `Problem` 403."""
        origin = headers.get("origin")
        if origin is None:
            # A link may be followed from anywhere: what it shows is seen by nobody but its user.
            cross = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
            if cross and headers.get("sec-fetch-mode") != "navigate":
                raise _foreign()
            return None
        if origin.lower() in self.origins:
            return origin
        if origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise _foreign()
        return None


def cors(origin: str | None, *, preflight: bool = False) -> Iterable[tuple[bytes, bytes]]:
    """Headers that let this page of another origin read the response."""
    if origin is None:
        return
    yield b"access-control-allow-origin", origin.encode("latin-1")
    yield b"access-control-expose-headers", _SHOWN.encode()
    if preflight:
        yield b"access-control-allow-methods", _METHODS.encode()
        yield b"access-control-allow-headers", _ASKED_WITH.encode()
        yield b"access-control-max-age", b"600"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _name_of(host: str) -> str:
    """The name or address in a header Host, without its port; "" if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            return ""
        _ = parts.port
        return (parts.hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _foreign() -> Problem:
    problem = Problem(
        403, "pages of other origins may not use this gateway; HURNET_GATEWAY_ORIGINS lists those that may"
    )
    problem.refused = "origin"
    return problem
