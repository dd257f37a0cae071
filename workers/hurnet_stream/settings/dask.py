"""HURNET_DASK_*: how to reach a Dask cluster, if embedding is done there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from hurnet_stream.settings.addresses import host_ports
from hurnet_stream.settings.secret_files import SectionWithSecrets
from hurnet_stream.settings.types import Duration, Unit

_SCHEDULER = re.compile(r"(tcp|tls)://(?P<host_port>[^/?#]+)")


def _checked_scheduler(address: str) -> str:
    if not address:
        return address
    matched = _SCHEDULER.fullmatch(address)
    if not matched:
        raise ValueError("must be tcp://host:port or tls://host:port")
    if len(host_ports(matched["host_port"])) > 1:
        raise ValueError("must be one scheduler")
    return address


class DaskSettings(SectionWithSecrets):
    """The scheduler of a Dask cluster whose workers embed. Used if HURNET_INGEST_EMBED_ON is dask."""

    variables: ClassVar[str] = "HURNET_DASK_"

    scheduler: Annotated[str, AfterValidator(_checked_scheduler)] = Field(
        "", description="Its address: tls://host:8786, or tcp://host:8786 without encryption."
    )
    ca_file: Path | None = Field(
        None, description="PEM file with the certificate of the authority that signed all of Dask's."
    )
    cert_file: Path | None = Field(None, description="PEM file with this client's certificate.")
    key_file: Path | None = Field(None, description="PEM file with the private key of cert_file.")
    texts: Annotated[int, Unit("texts")] = Field(
        64, ge=1, le=10_000, description="Most texts of one task: the texts of a turn are split by it."
    )
    timeout: Duration = Field(
        60.0,
        ge=1,
        le=3_600,
        description="Longest wait for the vectors of one turn, in seconds. Then the turn is tried again.",
    )
