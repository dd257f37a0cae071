"""Settings to client arguments, and kafka-python's errors to ours: the one place that knows both."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from hurnet.adapters.kafka.client.pinned import ForeignClusterError, Pin
from hurnet.adapters.kafka.client.pinned import client as pinned_client
from hurnet.errors import ConfigurationError, ForeignLog, HurnetError, KafkaFailing
from hurnet.settings.addresses import host_ports, shown
from hurnet.settings.settings import KafkaSettings

T = TypeVar("T")

# What no retry mends. Errors that are in neither list count as transient: the loop gives up on them in time.
_NEEDS_A_PERSON = (
    errors.AuthorizationError,
    errors.IllegalSaslStateError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidGroupIdError,
    errors.InvalidReplicationFactorError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeoutError,
    errors.KafkaConfigurationError,
    errors.OffsetMetadataTooLargeError,  # offset.metadata.max.bytes is less than Kafka's default of 4,096
    errors.PolicyViolationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)
_PROBE_S = 1.0
_BUGS = (errors.IllegalStateError, errors.IllegalArgumentError)


def connect(factory: Callable[..., T], settings: KafkaSettings, **arguments: Any) -> T:
    """`factory` (a kafka-python class) with the connection of `settings` and `arguments`, bootstrapped.

    Raises `KafkaFailing` where no broker answers in time, `ConfigurationError` where one refuses us.
    """
    clients: list[Any] = []
    pin = Pin(settings.cluster)

    def client(**config: Any) -> Any:
        made = pinned_client(pin, **config)
        clients.append(made)
        # kafka-python 3.0.12 drops the option of the same name: every look-up would ask for an unknown topic
        # to be made.
        made.cluster.config["allow_auto_create_topics"] = False
        return made

    try:
        made: Any = factory(kafka_client=client, **_arguments(settings), **arguments)
        made.pin = pin
        return cast(T, made)
    except errors.KafkaTimeoutError:
        _close(clients)
        pin.check()
        raise _no_broker(settings) from None
    except errors.KafkaError as error:
        _close(clients)
        raise explained(error, f"connecting to Kafka at {settings.bootstrap}") from error


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises what kafka-python raises inside as one of ours, with `doing` to say where."""
    try:
        yield
    except errors.KafkaError as error:
        raise explained(error, doing) from error


def explained(error: Exception, doing: str) -> Exception:
    """`error` as one of ours; what can only be a bug is left as it is."""
    if isinstance(error, _BUGS):
        return cast(Exception, error)
    if isinstance(error, ForeignClusterError):
        return ForeignLog(str(error.args[0]))
    if isinstance(error, _NEEDS_A_PERSON):
        return ConfigurationError(f"{doing}: {_reason(error)}")
    return KafkaFailing(f"{doing}: {_reason(error)}")


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _reason(error: Exception) -> str:
    detail = ", ".join(str(part) for part in error.args) or getattr(error, "description", None) or ""
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__


def _close(clients: list[Any]) -> None:
    for client in clients:  # a constructor that fails leaves its sockets and its thread behind
        client.close()


def _arguments(settings: KafkaSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "bootstrap_servers": _servers(settings),
        "bootstrap_timeout_ms": milliseconds(settings.request_timeout),
        "request_timeout_ms": max(1_000, milliseconds(settings.request_timeout)),
        "reconnect_backoff_max_ms": 1_000,
        "retry_backoff_ms": 20,  # kafka-python sleeps so long before each second try within a transaction
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _tls(settings)
    if settings.security_protocol.startswith("SASL"):
        arguments |= _sasl(settings)
    return arguments


def _servers(settings: KafkaSettings) -> list[str]:
    try:
        return [shown(*server) for server in host_ports(settings.bootstrap)]
    except ValueError as error:
        raise ConfigurationError(f"HURNET_KAFKA_BOOTSTRAP: {error}") from None


def _sasl(settings: KafkaSettings) -> dict[str, Any]:
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


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.check_hostname = settings.check_hostname
        if settings.cert_file:
            password = settings.key_password.get_secret_value() if settings.key_password else None
            # an empty one would make OpenSSL ask on the terminal
            context.load_cert_chain(settings.cert_file, settings.key_file, password or "")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the TLS files of HURNET_KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE can't be used: {error}"
        ) from error
    return context


def _no_broker(settings: KafkaSettings) -> HurnetError:
    """Why none answered: kafka-python tells a refused connection from a failed handshake in its log only."""
    for host, port in host_ports(settings.bootstrap):
        server = shown(host, port)
        try:
            with socket.create_connection((host, port), _PROBE_S) as raw:
                _probe(raw, host, settings)
        except ssl.SSLError as error:
            return ConfigurationError(f"the TLS handshake with Kafka at {server} failed: {error}")
        except errors.KafkaError as error:
            return ConfigurationError(f"Kafka at {server} refuses us: {_reason(error)}")
        except OSError:
            continue
        return KafkaFailing(
            f"{server} is open but doesn't answer as Kafka does over {settings.security_protocol}"
            " (is HURNET_KAFKA_SECURITY_PROTOCOL right?)"
        )
    return KafkaFailing(
        f"no Kafka broker at {settings.bootstrap} (is it running? is HURNET_KAFKA_BOOTSTRAP right?)"
    )


def _probe(raw: socket.socket, host: str, settings: KafkaSettings) -> None:
    with contextlib.ExitStack() as stack:
        if settings.security_protocol.endswith("SSL"):
            raw = stack.enter_context(_tls(settings).wrap_socket(raw, server_hostname=host))
        if settings.security_protocol.startswith("SASL"):
            _log_in(raw, host, _sasl(settings))


def _log_in(raw: socket.socket, host: str, sasl: dict[str, Any]) -> None:
    """Raises the broker's refusal. kafka-python drops one that comes together with the end of the connection,
    as it mostly does."""
    mechanism = sasl["sasl_mechanism"]
    handshake = _ask(raw, SaslHandshakeRequest(mechanism=mechanism))
    if handshake.error_code:
        raise errors.for_code(handshake.error_code)(f"{mechanism} is not among {handshake.mechanisms}")
    talk = get_sasl_mechanism(mechanism)(host=host, **sasl)
    while not talk.is_done():
        answer = _ask(raw, SaslAuthenticateRequest(talk.auth_bytes()))
        if answer.error_code:
            raise errors.for_code(answer.error_code)(answer.error_message)
        talk.receive(answer.auth_bytes)


def _ask(raw: socket.socket, request: Any) -> Any:
    request.API_VERSION = 1
    parser = KafkaProtocol(client_id="hurnet")
    parser.send_request(request)
    raw.sendall(parser.send_bytes())
    while received := raw.recv(1 << 16):
        for _, response in parser.receive_bytes(received):
            return response
    raise ConnectionResetError("closed without an answer")
