"""An exchange without transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from hurnet.adapters.kafka.admin.topics import Topics
from hurnet.adapters.kafka.exchange.answering import AnsweringSource
from hurnet.adapters.kafka.writing.sink import KafkaSink
from hurnet.errors import HurnetError, Stalled, TransientError, Undeliverable
from hurnet.ports import Outgoing
from hurnet.settings.settings import KafkaSettings, ResponderSettings


class AtLeastOnceExchange(AnsweringSource):
    """Fills `hurnet.ports.Exchange` without transactions: faster, but a crash between the answers and the
    commit of their offsets gives some answers twice."""

    def __init__(self, settings: KafkaSettings, responder: ResponderSettings) -> None:
        self._sink = KafkaSink(settings)
        self._topics = Topics(settings)
        try:
            super().__init__(settings, settings.queries, responder.group, reset="earliest")
        except HurnetError:
            self._sink.close()
            raise

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        """False where the messages may not all have been sent; they will be sent again."""
        try:
            self._sink.attempt(messages)
        except (Stalled, Undeliverable):
            self.rewind()
            raise
        except TransientError:
            self.rewind()
            return False
        with suppress(TransientError):  # sent is sent; the next commit covers this one
            self.commit(next_offsets, notes)
        return True

    def close(self) -> None:
        self._sink.close()
        self._topics.close()
        super().close()
