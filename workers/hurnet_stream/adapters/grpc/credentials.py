"""Who may ask a slice: TLS by the settings' files, and a secret in the metadata of each call.

Files are read again for each new connection, so that certificates and the secret are renewed without a
restart. While a secret is being changed, those that already have the new one are refused by those that have
the old one; they ask again, and nothing is lost.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any, Final

import grpc

from hurnet_stream.settings.slices import SliceSettings

METHOD: Final = "/hurnet.Slices/Ask"
SECRET: Final = "hurnet-secret-bin"  # noqa: S105 - the name of a header. -bin: its value is bytes
MESSAGE_BYTES_MAX: Final = 64 << 20
"""Of one request, and of one reply."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # a second process at the same port is a mistake
    ("grpc.enable_http_proxy", 0),  # slices are in the same network
)


def metadata(settings: SliceSettings) -> tuple[tuple[str, bytes], ...]:
    """What a coordinator sends with each call."""
    secret = settings.current("secret")
    return ((SECRET, secret.encode()),) if secret else ()


def is_admitted(settings: SliceSettings, given: Any) -> bool:
    """Whether the metadata of a call has the secret, if there is one."""
    secret = settings.current("secret")
    if not secret:
        return True
    sent = next((value for name, value in given if name == SECRET), b"")
    return hmac.compare_digest(sent if isinstance(sent, bytes) else sent.encode(), secret.encode())


def of_server(settings: SliceSettings) -> Any:
    """How gRPC is to secure a server; None without TLS."""
    if settings.cert_file is None:
        return None

    def files() -> Any:
        pair = _read(settings.key_file or settings.cert_file), _read(settings.cert_file)
        return grpc.ssl_server_certificate_configuration([pair], _read(settings.ca_file))

    def renewed() -> Any:
        try:
            return files()
        except OSError:  # they are just being replaced: what was read before goes on
            return None

    return grpc.dynamic_ssl_server_credentials(
        files(), renewed, require_client_authentication=settings.ca_file is not None
    )


def of_client(settings: SliceSettings) -> Any:
    """How gRPC is to secure a client; None without TLS."""
    if settings.cert_file is None and settings.ca_file is None:
        return None
    key = settings.key_file or settings.cert_file
    return grpc.ssl_channel_credentials(_read(settings.ca_file), _read(key), _read(settings.cert_file))


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
