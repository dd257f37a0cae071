"""Which metrics each role has: its own, and no others."""

from __future__ import annotations

from hurnet_stream.metrics.canary import CanaryMetrics
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.metrics.gateway import GatewayMetrics
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.migrate import MigrateMetrics
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.reshard import ReshardMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.slice import SliceMetrics
from hurnet_stream.metrics.solver import SolverMetrics

ROLES: dict[str, type[ProcessMetrics]] = {
    "ingest": IngestMetrics,
    "solver": SolverMetrics,
    "migrate": MigrateMetrics,
    "reshard": ReshardMetrics,
    "responder": ResponderMetrics,
    "slice": SliceMetrics,
    "feedback": FeedbackMetrics,
    "canary": CanaryMetrics,
    "gateway": GatewayMetrics,
}
