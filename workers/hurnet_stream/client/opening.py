"""From an address to the way there. What only one of the ways needs is imported here, if it is taken."""

from __future__ import annotations

from hurnet_stream.client import addresses
from hurnet_stream.client.errors import ClientError, InvalidRequest
from hurnet_stream.client.transport import Transport


def opened(address: str | Transport, api_key: str | None) -> Transport:
    """The way to an address. Nothing connects yet.

    Raises:
        InvalidRequest: the address or the key can't be used.
        ClientError: httpx is not installed.
        ConfigurationError: a setting HURNET_* is wrong (Kafka only).
    """
    if not isinstance(address, str):
        if not hasattr(address, "ask"):
            raise InvalidRequest(
                f"must be {addresses.FORMS}, and is of type {type(address).__name__}", "address"
            )
        return address
    if addresses.split(address).scheme != "kafka":
        return _over_http(address, api_key)
    if api_key is not None:
        raise InvalidRequest("Kafka takes none: HURNET_KAFKA_* says how to log in", "api_key")
    return _over_kafka(addresses.split(address).netloc)


def _over_http(address: str, api_key: str | None) -> Transport:
    try:
        from hurnet_stream.client.over_http import OverHttp
    except ModuleNotFoundError as error:
        raise ClientError(
            f"HTTP needs the extra `client`: pip install 'hurnet-stream[client]' ({error})"
        ) from None
    return OverHttp(address, api_key)


def _over_kafka(bootstrap: str) -> Transport:
    from hurnet_stream.client.over_kafka import OverKafka
    from hurnet_stream.settings import settings

    chosen = settings.load()
    return OverKafka(chosen.kafka.model_copy(update={"bootstrap": bootstrap}), topics=chosen.topics)
