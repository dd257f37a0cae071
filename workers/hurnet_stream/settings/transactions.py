"""What the workers have in common that write in Kafka transactions."""

from __future__ import annotations

import socket

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration


class TransactionSettings(Section):
    """A worker whose records and offsets are committed as one."""

    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="The name of this worker. Each running one of its group needs a name of its own. The "
        "default is the host's name.",
    )
    transaction_deadline: Duration = Field(
        5.0,
        ge=0.1,
        le=900,
        description="Longest time in seconds for one transaction; the worker then gives it up and starts "
        "anew.",
    )
    transaction_timeout: Duration = Field(
        10.0,
        ge=1,
        le=900,
        description="Seconds after which the brokers abort a transaction that nobody ended.",
    )
