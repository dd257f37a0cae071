"""Where the gateway of a local system, and with it the console's page, is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.local.loopback import HOST, port_or_free
from hurnet_stream.local.system import Say
from hurnet_stream.settings.addresses import shown
from hurnet_stream.settings.settings import GatewaySettings

ANY_HOST = ("0.0.0.0", "::", "[::]")  # noqa: S104 (it is asked for, not bound to)
USUAL_PORT = 8080


@dataclass(frozen=True, slots=True)
class Page:
    """The address for a browser, and what the gateway's environment needs so that it is there."""

    address: str
    environment: Mapping[str, str]


def gateway_is_installed() -> bool:
    return find_spec("uvicorn") is not None


def page_of(gateway: GatewaySettings, say: Say) -> Page:
    """At the port of these settings, or at a free one, and that is said.

    Raises `ConfigurationError` if the gateway is not installed."""
    if not gateway_is_installed():
        raise ConfigurationError("the console needs more: pip install 'hurnet-stream[gateway]'")
    wanted = gateway.port or USUAL_PORT
    port = port_or_free(wanted)
    if port != wanted:
        say(f"port {wanted} is taken, so the console will be at port {port}")
    host = HOST if gateway.host in ANY_HOST else gateway.host.strip("[]")
    return Page(f"http://{shown(host, port)}", {"HURNET_GATEWAY_PORT": str(port)})
