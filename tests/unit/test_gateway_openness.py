"""A gateway without keys stands open to this machine alone, unless it is told that nobody else comes to its
port."""

from __future__ import annotations

from pathlib import Path

import pytest

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import GatewaySettings
from hurnet_stream.wiring.gateway import _check_openness

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "gateway.example.org"])
def test_other_machines_need_keys(host: str) -> None:
    with pytest.raises(ConfigurationError, match="needs a file of keys"):
        _check_openness(GatewaySettings(host=host))


@pytest.mark.parametrize(
    "settings",
    [
        GatewaySettings(),
        GatewaySettings(host="::1"),
        GatewaySettings(host=EVERYWHERE, open=True),
        GatewaySettings(host=EVERYWHERE, keys=Path("keys.toml")),
    ],
)
def test_loopback_a_port_that_is_published_there_and_keys_will_do(settings: GatewaySettings) -> None:
    _check_openness(settings)
