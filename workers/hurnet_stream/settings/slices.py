"""HURNET_SLICES_*: responders that hold only part of the entries each (docs/slices.md)."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, SecretStr

from hurnet_stream.settings.addresses import host_ports
from hurnet_stream.settings.secret_files import SectionWithSecrets
from hurnet_stream.settings.types import Duration, Unit

COUNT_MOST: Final = 1_024
_ORDINAL: Final = re.compile(r".*-([0-9]{1,4})")
_HOST: Final = r"(?:\[[^\]\s]+\]|[^\s:/@?#,\[\]]+)"
_LISTEN: Final = re.compile(rf"({_HOST}):([0-9]{{1,5}})")


def _checked_listen(address: str) -> str:
    found = _LISTEN.fullmatch(address)
    if found is None or int(found[2]) > 65_535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:7600 or 0.0.0.0:7600; port 0 takes a free one")
    return address


def _checked_address(address: str) -> str:
    if address and len(host_ports(address)) != 1:
        raise ValueError("must be one HOST:PORT")
    return address


class SliceSettings(SectionWithSecrets):
    """Responders that share the entries out: each slice holds part of the shards, and coordinators ask all
    slices (docs/slices.md)."""

    variables: ClassVar[str] = "HURNET_SLICES_"

    count: Annotated[int, Unit("slices")] = Field(
        0,
        ge=0,
        le=COUNT_MOST,
        description="Into how many slices the shards are shared out. 0: every responder holds everything. "
        "Otherwise `hurnet slice` holds one slice, and responders hold none and ask the slices.",
    )
    number: int | None = Field(
        None,
        ge=0,
        lt=COUNT_MOST,
        description="Which slice this process is, from 0. Default: the number at the end of the host's name, "
        "as a StatefulSet has it, modulo HURNET_SLICES_COUNT: so twice as many pods hold each slice twice.",
    )
    instance: str = Field(
        "",
        max_length=200,
        description="The name of this process among the slices. Default: the host's name and the process id.",
    )
    listen: Annotated[str, AfterValidator(_checked_listen)] = Field(
        "127.0.0.1:0",
        description="The HOST:PORT at which a slice listens. Anything but loopback needs HURNET_SLICES_SECRET"
        " or certificates. Port 0 takes a free one.",
    )
    address: Annotated[str, AfterValidator(_checked_address)] = Field(
        "",
        max_length=300,
        description="The HOST:PORT at which responders reach this slice. Default: HURNET_SLICES_LISTEN"
        ", with the host's name if it listens at all addresses.",
    )
    away: Literal["wait", "partial"] = Field(
        "wait",
        description="What becomes of questions while a slice is away: they wait for it, up to "
        "HURNET_RESPONDER_WAIT, or they are answered from the other slices, and the receipt names the shards "
        "that are missing.",
    )
    hold: Duration = Field(
        0.5,
        ge=0.05,
        le=10,
        description="Longest time in seconds for which a slice takes nothing in, so that the rounds of a "
        "question see the same entries.",
    )
    timeout: Duration = Field(
        5.0, ge=0.1, le=60, description="Longest wait in seconds for the reply of a slice to one round."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with the authority of the certificates of slices and responders. With it, a "
        "slice lets nobody in without a certificate of this authority (mutual TLS).",
    )
    cert_file: Path | None = Field(
        None, description="PEM file with the certificate of this process. With it, slices speak TLS."
    )
    key_file: Path | None = Field(None, description="PEM file with the private key of cert_file.")
    secret: SecretStr | None = Field(
        None, description="A secret that slices and responders share: slices refuse who doesn't know it."
    )
    secret_file: Path | None = Field(None, description="A file with the secret, which is read again.")

    def slice_number(self, host: str | None = None) -> int | None:
        """Which slice this process is; None if neither the setting nor the host's name tells."""
        if self.number is not None:
            return self.number
        found = _ORDINAL.fullmatch((host or socket.gethostname()).split(".")[0])
        return int(found[1]) % self.count if found and self.count else None
