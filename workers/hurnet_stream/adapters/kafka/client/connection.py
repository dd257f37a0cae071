"""Where every client of Kafka is made: consumers, producers and admin clients alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from kafka import errors

from hurnet_stream.adapters.kafka.client.arguments import Credentials, client_arguments
from hurnet_stream.adapters.kafka.client.errors import explained
from hurnet_stream.adapters.kafka.client.pinned import Pin, pinned_client
from hurnet_stream.adapters.kafka.client.probe import why_no_broker
from hurnet_stream.settings.settings import KafkaSettings

T = TypeVar("T")


def connect(factory: Callable[..., T], settings: KafkaSettings, **arguments: Any) -> T:
    """A client of the kafka-python class `factory` that is connected to a broker.

    Its attribute `pin` says which cluster it belongs to.

    Raises:
        KafkaFailing: no broker answers in time.
        ConfigurationError: a broker refuses us.
        ForeignLog: the cluster there is not the one of the settings.
    """
    network_clients: list[Any] = []
    pin, credentials = Pin(settings.cluster), Credentials(settings)

    def network_client(**config: Any) -> Any:
        made = pinned_client(pin, credentials.now, **config)
        network_clients.append(made)
        # kafka-python 3.0.12 loses the option of this name on its way here. Without it, every look-up of a
        # topic would ask the brokers to create one that does not exist.
        made.cluster.config["allow_auto_create_topics"] = False
        return made

    try:
        client: Any = factory(kafka_client=network_client, **client_arguments(settings), **arguments)
        client.pin = pin
        return cast(T, client)
    except errors.KafkaTimeoutError:
        _close(network_clients)
        pin.check()
        raise why_no_broker(settings) from None
    except errors.KafkaError as error:
        _close(network_clients)
        raise explained(error, f"connecting to Kafka at {settings.bootstrap}") from error


def _close(network_clients: list[Any]) -> None:
    # A constructor of kafka-python that fails leaves its sockets and its thread behind.
    for client in network_clients:
        client.close()
