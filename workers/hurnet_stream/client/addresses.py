"""Addresses of hurnet: kafka://HOST:PORT,HOST:PORT or http(s)://HOST:PORT."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from hurnet_stream.client.errors import InvalidRequest
from hurnet_stream.settings.addresses import host_ports

HTTP_PORT = 80
FORMS = "kafka://HOST:PORT, http://HOST:PORT or https://HOST"


def split(address: str) -> SplitResult:
    """The parts of an address. Raises `InvalidRequest`, which never repeats it: there may be a password."""
    try:
        parts = urlsplit(address.strip())
        if parts.scheme not in ("kafka", "http", "https") or not parts.netloc:
            raise ValueError(f"must be {FORMS}")
        if "@" in parts.netloc:
            raise ValueError("no user and password in it: pass api_key=, or HURNET_KAFKA_USERNAME and others")
        if parts.query or parts.fragment or (parts.scheme == "kafka" and parts.path.strip("/")):
            raise ValueError(f"nothing behind it: must be {FORMS}")
        if parts.scheme == "kafka":
            host_ports(parts.netloc)
        elif len(host_ports(parts.netloc, HTTP_PORT)) > 1:
            raise ValueError("a gateway has one address")
    except ValueError as error:
        raise InvalidRequest(str(error), "address") from None
    return parts


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
