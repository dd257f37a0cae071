"""A store, and solvers at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import Appended
from hurnet_stream.settings.settings import PaperSettings, SegmentSettings, Settings, SolveSettings
from hurnet_stream.solver.solver import Solver
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.lease_store import MemoryLeaseStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore

EMBEDDER = HashedText(16)


@dataclass
class World:
    """A store, and solvers at it."""

    redis: MemoryRedis = field(default_factory=MemoryRedis)

    def __post_init__(self) -> None:
        self.store = MemoryEntryStore(self.redis)
        self.store.open(EMBEDDER.identity)
        self.sent: list[Entry] = []

    def append(self, *entries: tuple[str, str | None], context: str = "default", partition: int = 0) -> None:
        watermark = self.store.state(partition).watermark
        rows = [
            Entry(watermark + 1 + i, 0, context, text, answer) for i, (text, answer) in enumerate(entries)
        ]
        vectors = EMBEDDER.embed([text for text, _ in entries])
        batch = Batch(partition, watermark + len(rows), rows, vectors)
        assert isinstance(self.store.append(batch, watermark), Appended)
        self.sent += rows

    def solver(self, features: str = "none", segments: str = "", **solve_settings: object) -> Solver:
        chosen = Settings(
            solve=SolveSettings.model_validate(
                {"interval": 0, "checkpoint_interval": 0, "device": "cpu", **solve_settings}
            ),
            paper=PaperSettings(features=features),
            segments=SegmentSettings(url=segments),
        )
        stores = (
            MemoryEntryStore(self.redis),
            MemoryWeightsStore(self.redis),
            MemoryLeaseStore(self.redis),
        )
        return Solver(*stores, chosen, SolverMetrics())

    def clean(self, context: str = "default", spec: str = "none") -> Statistics:
        """What one pass over everything gives."""
        pairs = [e for e in self.sent if e.context == context and e.answer is not None]
        features = KernelMap(spec, EMBEDDER.identity.dimension)
        statistics = Statistics(features.size)
        statistics.add(features(EMBEDDER.embed([e.text for e in pairs])), [e.answer or "" for e in pairs])
        return statistics


def pairs(first: int, end: int) -> list[tuple[str, str | None]]:
    return [(f"question number {i}", f"answer {i % 3}") for i in range(first, end)]
