"""One question to the registry over HTTP: within its time and size, and by the newest secrets.

Schemas are asked for seldom, since none ever changes. So each question has a connection of its own, and finds
the certificates, the password or the token as their files have them at that time.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from hurnet_stream.errors import RegistryFailing
from hurnet_stream.settings.settings import RegistrySettings

REPLY_BYTES_MOST: Final = 4 << 20
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"
_REFUSED: Final = (401, 403)


class TooLarge(Exception):
    """The reply has more than `REPLY_BYTES_MOST` bytes."""


class NotThere(Exception):
    """The registry says that it has no such thing."""


def ask(
    settings: RegistrySettings, path: str, deadline: float, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """The object that the registry has at `path`. Raises `NotThere`, `TooLarge`, and `RegistryFailing` for
    all that may pass: no connection, no reply until `deadline`, an error of the server, a login refused."""
    try:
        with (
            httpx.Client(timeout=settings.timeout, verify=_tls(settings), trust_env=False) as client,
            client.stream("GET", settings.url.rstrip("/") + path, headers=_headers(settings)) as reply,
        ):
            raw = bytearray()
            for piece in reply.iter_bytes():
                raw += piece
                if len(raw) > REPLY_BYTES_MOST:
                    raise TooLarge
                if clock() > deadline:  # httpx waits that long for each piece
                    raise RegistryFailing(f"the schema registry took more than {settings.timeout:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = "no reply in time" if isinstance(error, httpx.TimeoutException) else str(error)[:200]
        raise RegistryFailing(
            f"the schema registry (HURNET_REGISTRY_URL) can't be asked: {why or type(error).__name__}"
        ) from error
    return _understood(reply.status_code, _parsed(bytes(raw)))


def _understood(status: int, said: Any) -> dict[str, Any]:
    if status == 200 and isinstance(said, dict):
        return said
    code = said.get("error_code") if isinstance(said, dict) else None
    # 40401, 40402, 40403: no such subject, version, schema. A 404 without a code is not from a registry.
    if status == 404 and isinstance(code, int) and code // 100 == 404:
        raise NotThere
    if status in _REFUSED:
        raise RegistryFailing(
            f"the schema registry does not let us in ({status}): HURNET_REGISTRY_USERNAME and _PASSWORD, or"
            " HURNET_REGISTRY_TOKEN, are wrong, missing or without the right to read"
        )
    raise RegistryFailing(
        f"the schema registry answered with status {status}"
        + (": is HURNET_REGISTRY_URL the address of its API?" if status in (200, 301, 302, 307, 404) else "")
    )


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _headers(settings: RegistrySettings) -> dict[str, str]:
    headers = {"Accept": _ACCEPT}
    if token := settings.current("token"):
        headers["Authorization"] = f"Bearer {token}"
    elif settings.username:
        basic = httpx.BasicAuth(settings.username, settings.current("password") or "")
        headers["Authorization"] = next(basic.auth_flow(httpx.Request("GET", "http://x"))).headers[
            "Authorization"
        ]
    return headers


def _tls(settings: RegistrySettings) -> ssl.SSLContext | bool:
    if not settings.url.startswith("https"):
        return False
    tls = ssl.create_default_context(cafile=settings.ca_file)
    if settings.cert_file:
        # "" and not None, because for None OpenSSL would ask for a password on the terminal
        tls.load_cert_chain(settings.cert_file, settings.key_file, "")
    return tls
