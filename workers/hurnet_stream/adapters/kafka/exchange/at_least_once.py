"""An exchange without transactions: faster, and after a crash some queries are answered twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.exchange.answering import AnsweringSource, Member
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import HurnetError, Stalled, TransientError, Undeliverable
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings


class AtLeastOnceExchange(AnsweringSource):
    """Fills `hurnet_stream.ports.Exchange`: first sends the answers, then commits their queries' offsets. A
    crash in between gives these answers a second time."""

    def __init__(self, settings: KafkaSettings, topic: str, member: Member) -> None:
        self._sink = KafkaSink(settings)
        self._topics = TopicLookup(settings)
        try:
            super().__init__(settings, topic, member.group, reset="earliest")
        except HurnetError:
            self._sink.close()
            raise

    def deliver(
        self,
        messages: Sequence[Outgoing],
        next_offsets: Mapping[int, int],
        notes: Mapping[int, str] | None = None,
    ) -> bool:
        """False if the messages may not all have been sent: they will be sent again."""
        try:
            self._sink.attempt(messages)
        except (Stalled, Undeliverable) as error:
            self._rolled_back_by = "stalled" if isinstance(error, Stalled) else "refused"
            self.rewind()  # all these queries come again, and the caller sends no more what was refused
            raise
        except TransientError:
            self._rolled_back_by = "broker"
            self.rewind()
            return False
        with suppress(TransientError):  # the answers are out; the next commit covers this one
            self.commit(next_offsets, notes)
        return True

    def close(self) -> None:
        self._sink.close()
        self._topics.close()
        super().close()
