"""Why no broker could be connected to.

kafka-python raises the same time-out for a refused connection, a failed TLS handshake and a wrong password,
and writes the difference to its log only. So after such a time-out each address is tried once by hand:

    connect, TLS handshake     ssl.SSLError: the certificates are wrong
    log in by SASL             the broker says why it refuses us
    any OSError                nothing listens there: try the next address
    all of it works            something answers that is no Kafka, or Kafka over another security protocol
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from hurnet_stream.adapters.kafka.client.arguments import sasl_arguments, tls_context
from hurnet_stream.adapters.kafka.client.errors import reason
from hurnet_stream.errors import HurnetError, KafkaFailing, KafkaRefuses
from hurnet_stream.settings.addresses import host_ports, shown
from hurnet_stream.settings.settings import KafkaSettings

_TIMEOUT_S = 1.0
"""For each step of the probe: it comes on top of the time-out that has already passed."""


def why_no_broker(settings: KafkaSettings) -> HurnetError:
    """The error to raise when no broker answered in time."""
    for host, port in host_ports(settings.bootstrap):
        server = shown(host, port)
        try:
            with socket.create_connection((host, port), _TIMEOUT_S) as connection:
                _shake_hands(connection, host, settings)
        except ssl.SSLError as error:
            return KafkaRefuses(f"the TLS handshake with Kafka at {server} failed: {error}")
        except errors.KafkaError as error:
            return KafkaRefuses(f"Kafka at {server} refuses us: {reason(error)}")
        except OSError:  # ssl.SSLError is one too, and was caught before
            continue
        return KafkaFailing(
            f"{server} is open but doesn't answer as Kafka does over {settings.security_protocol}"
            " (is HURNET_KAFKA_SECURITY_PROTOCOL right?)"
        )
    return KafkaFailing(
        f"no Kafka broker at {settings.bootstrap} (is it running? is HURNET_KAFKA_BOOTSTRAP right?)"
    )


def _shake_hands(connection: socket.socket, host: str, settings: KafkaSettings) -> None:
    with contextlib.ExitStack() as stack:
        if settings.security_protocol.endswith("SSL"):
            wrapped = tls_context(settings).wrap_socket(connection, server_hostname=host)
            connection = stack.enter_context(wrapped)
        if settings.security_protocol.startswith("SASL"):
            _log_in(connection, host, sasl_arguments(settings))


def _log_in(connection: socket.socket, host: str, sasl: dict[str, Any]) -> None:
    """Raises the broker's refusal. Brokers usually close the connection with it, and kafka-python then drops
    what they said."""
    mechanism = sasl["sasl_mechanism"]
    handshake = _ask(connection, SaslHandshakeRequest(mechanism=mechanism))
    if handshake.error_code:
        raise errors.for_code(handshake.error_code)(f"{mechanism} is not among {handshake.mechanisms}")
    dialogue = get_sasl_mechanism(mechanism)(host=host, **sasl)
    while not dialogue.is_done():
        answer = _ask(connection, SaslAuthenticateRequest(dialogue.auth_bytes()))
        if answer.error_code:
            raise errors.for_code(answer.error_code)(answer.error_message)
        dialogue.receive(answer.auth_bytes)


def _ask(connection: socket.socket, request: Any) -> Any:
    # From version 1 of the handshake on, the log-in comes in requests of its own, whose answers say why not.
    request.API_VERSION = 1
    parser = KafkaProtocol(client_id="hurnet")
    parser.send_request(request)
    connection.sendall(parser.send_bytes())
    while received := connection.recv(1 << 16):
        for _, response in parser.receive_bytes(received):
            return response
    raise ConnectionResetError("closed without an answer")
