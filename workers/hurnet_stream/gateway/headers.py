"""Headers that every response has, whatever it is."""

from __future__ import annotations

import re
import uuid
from typing import Final

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ALWAYS: Final = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "content-security-policy": CONTENT_POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }.items()
)
NO_STORE: Final = (b"cache-control", b"no-store")
"""For everything that holds what people wrote."""
REQUEST_ID: Final = "x-request-id"
_FIT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """The client's own id of its request, if it is fit to be repeated; else a new one."""
    return given if given and _FIT.fullmatch(given) else uuid.uuid4().hex
