"""Settings as kafka-python's arguments."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, Final

from kafka.net.sasl.oauth import AbstractTokenProvider

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.addresses import host_ports, shown
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

_TLS_FILES: Final = ("ca_file", "cert_file", "key_file", "key_password_file")


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """What every client is made with. Raises `ConfigurationError` if a setting can't be used."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": _servers(settings),
        "bootstrap_timeout_ms": milliseconds(settings.request_timeout),
        "request_timeout_ms": max(1_000, milliseconds(settings.request_timeout)),
        "reconnect_backoff_max_ms": 1_000,
        "retry_backoff_ms": 20,  # kafka-python sleeps this long before each second try within a transaction
        "security_protocol": settings.security_protocol,
    }
    return arguments | Credentials(settings).now()


class Credentials:
    """What a new connection needs: its TLS context and how it logs in, of files as they are now.

    A context is kept as long as its files stay the same: to make one takes up to 18 ms.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._seen: object = None
        self._context: ssl.SSLContext | None = None

    def now(self) -> dict[str, Any]:
        """As arguments of kafka-python. Raises `ConfigurationError` if a setting can't be used, or a TLS file
        at the first call; later the last context that could be made is used."""
        arguments: dict[str, Any] = {}
        if self._settings.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self._tls()
        if self._settings.security_protocol.startswith("SASL"):
            arguments |= sasl_arguments(self._settings)
        return arguments

    def _tls(self) -> ssl.SSLContext:
        seen = [_version(getattr(self._settings, name)) for name in _TLS_FILES]
        if self._context is None or seen != self._seen:
            try:
                self._context = tls_context(self._settings)
            except ConfigurationError as error:
                if self._context is None:
                    raise
                # They are being replaced: a certificate may be there before its key.
                _log.warning("the TLS files have changed, and are not used yet: %s", error)
            self._seen = seen
        return self._context


class _Token(AbstractTokenProvider):  # type: ignore[misc] # kafka-python ships no types
    """The token as its file has it. kafka-python asks once a connection, and again before a session ends."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__()
        self._settings = settings

    def token(self) -> str:
        return self._settings.current("token") or ""


def sasl_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """How to log in. Raises `ConfigurationError` if a part of it is not set."""
    mechanism = {"security_protocol": settings.security_protocol, "sasl_mechanism": settings.sasl_mechanism}
    if settings.sasl_mechanism == "AWS_MSK_IAM":
        return mechanism
    if settings.sasl_mechanism == "OAUTHBEARER" and settings.current("token"):
        return {**mechanism, "sasl_oauth_token_provider": _Token(settings)}
    password = settings.current("password")
    if not (settings.sasl_mechanism and settings.username and password):
        needed = (
            "HURNET_KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD (or _PASSWORD_FILE), or for OAUTHBEARER"
            " _TOKEN_FILE"
        )
        raise ConfigurationError(
            f"HURNET_KAFKA_SECURITY_PROTOCOL {settings.security_protocol} needs {needed}"
        )
    return {**mechanism, "sasl_plain_username": settings.username, "sasl_plain_password": password}


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Raises `ConfigurationError` if a certificate or a key can't be read."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.check_hostname = settings.check_hostname
        if settings.cert_file:
            # Never None: OpenSSL would ask for the password on the terminal, and the worker would hang.
            password = settings.current("key_password") or ""
            context.load_cert_chain(settings.cert_file, settings.key_file, password)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the TLS files of HURNET_KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE can't be used: {error}"
        ) from error
    return context


def milliseconds(seconds: float) -> int:
    """At least one: kafka-python takes zero for "without a limit" in places."""
    return max(1, round(seconds * 1000))


def _version(path: Path | None) -> object:
    """Something that changes if the file is replaced or written to; None if there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _servers(settings: KafkaSettings) -> list[str]:
    try:
        return [shown(*server) for server in host_ports(settings.bootstrap)]
    except ValueError as error:
        raise ConfigurationError(f"HURNET_KAFKA_BOOTSTRAP: {error}") from None
