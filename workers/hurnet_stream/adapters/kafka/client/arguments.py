"""Settings as kafka-python's arguments."""

from __future__ import annotations

import ssl
from typing import Any

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.addresses import host_ports, shown
from hurnet_stream.settings.settings import KafkaSettings


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
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = tls_context(settings)
    if settings.security_protocol.startswith("SASL"):
        arguments |= sasl_arguments(settings)
    return arguments


def sasl_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """How to log in. Raises `ConfigurationError` if a part of it is not set."""
    if not (settings.sasl_mechanism and settings.username and settings.password):
        needed = "HURNET_KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD"
        raise ConfigurationError(
            f"HURNET_KAFKA_SECURITY_PROTOCOL {settings.security_protocol} needs {needed}"
        )
    return {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.username,
        "sasl_plain_password": settings.password.get_secret_value(),
    }


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Raises `ConfigurationError` if a certificate or a key can't be read."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.check_hostname = settings.check_hostname
        if settings.cert_file:
            password = settings.key_password.get_secret_value() if settings.key_password else None
            # Never None: OpenSSL would ask for the password on the terminal, and the worker would hang.
            context.load_cert_chain(settings.cert_file, settings.key_file, password or "")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the TLS files of HURNET_KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE can't be used: {error}"
        ) from error
    return context


def milliseconds(seconds: float) -> int:
    """At least one: kafka-python takes zero for "without a limit" in places."""
    return max(1, round(seconds * 1000))


def _servers(settings: KafkaSettings) -> list[str]:
    try:
        return [shown(*server) for server in host_ports(settings.bootstrap)]
    except ValueError as error:
        raise ConfigurationError(f"HURNET_KAFKA_BOOTSTRAP: {error}") from None
