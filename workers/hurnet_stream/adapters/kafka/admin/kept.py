"""An admin client that is kept from one question to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.settings.settings import KafkaSettings


class KeptAdmin:
    """Connects at the first question, and anew at the next one after anything failed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin: Any = None

    @contextlib.contextmanager
    def asking(self, doing: str) -> Iterator[Any]:
        """A block with the client. Raises as `connect` does, and errors of the client as `translated`."""
        self._admin = self._admin or connect(KafkaAdminClient, self._settings)
        try:
            with translated(doing):
                yield self._admin
        except Exception:
            self.close()
            raise

    @property
    def cluster(self) -> str:
        """The id of the cluster that it is connected to; "" if it is not, or the brokers don't tell."""
        return self._admin.pin.cluster if self._admin is not None else ""

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None
