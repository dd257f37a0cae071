"""Whether the files of a group of settings can be used: an authority, a certificate and its key."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

FILES: Final = ("ca_file", "cert_file", "key_file")


def problems(prefix: str, section: Any) -> Iterator[str]:
    """Files that are missing, can't be read, or are not what they should be."""
    unusable = [
        f"{prefix}{name.upper()}: {reason}"
        for name in FILES
        if (path := getattr(section, name)) is not None and (reason := _unreadable(path))
    ]
    yield from unusable
    if section.key_file and not section.cert_file:
        yield f"{prefix}KEY_FILE needs {prefix}CERT_FILE"
    elif not unusable:
        yield from _tls(prefix, section, _key_password(section))


def _key_password(section: Any) -> str:
    return section.current("key_password") or "" if "key_password" in section.secret_names() else ""


def _unreadable(path: Path) -> str | None:
    if not path.is_file():
        return f"there is no file {path}"
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return f"can't read {path}: {error.strerror}"


def _tls(prefix: str, section: Any, password: str) -> Iterator[str]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if section.ca_file:
        try:
            tls.load_verify_locations(section.ca_file)
        except OSError as error:  # ssl.SSLError is one
            yield f"{prefix}CA_FILE: {section.ca_file} holds no certificate in PEM format ({error})"
    if section.cert_file:
        try:  # "" and not None, because for None OpenSSL would ask for a password on the terminal
            tls.load_cert_chain(section.cert_file, section.key_file, password)
        except OSError as error:
            files = f"{prefix}CERT_FILE and {prefix}KEY_FILE" if section.key_file else f"{prefix}CERT_FILE"
            yield f"{files}: must hold a certificate and its key in PEM format ({error})"
