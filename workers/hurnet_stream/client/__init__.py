"""A client for programs: ask, teach, correct, forget and wait, over HTTP or Kafka by one interface.

client          for threads; async_client: for asyncio, which does all the work
messages        from a caller's arguments to messages of the topics; many: several of them, in order
transport       what a way to hurnet must do: over_http and over_kafka are two, and opening chooses
switchboard     questions and records under way over Kafka, and the futures that wait for them
effects         what corrections have taught, for all who wait for it; spans: sending, in a trace
lanes           connections of HTTP
retrying        tries again what fails for a while; problems: what a gateway says that is no success
errors          all that can go wrong
"""

from hurnet_stream.client.async_client import AsyncClient
from hurnet_stream.client.client import Client
from hurnet_stream.client.errors import (
    AccessRefused,
    Busy,
    ClientError,
    Closed,
    InvalidRequest,
    NoReply,
    NotAllTaught,
    NotSent,
    NotTaught,
    NotThere,
    Problem,
    Unreachable,
)
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.transport import Transport

__all__ = [
    "AccessRefused",
    "AsyncClient",
    "Busy",
    "Client",
    "ClientError",
    "Closed",
    "Corrected",
    "Forgotten",
    "InvalidRequest",
    "NoReply",
    "NotAllTaught",
    "NotSent",
    "NotTaught",
    "NotThere",
    "Problem",
    "Transport",
    "Unreachable",
    "Watermarks",
]
