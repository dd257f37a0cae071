"""What workers say of themselves over HTTP: /readyz in words, /metrics in figures."""

from __future__ import annotations

import contextlib
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import click
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hurnet_schemas.places import ShardName, shard

TIMEOUT_S = 2.0
MOST_BYTES = 16 << 20
"""Of one page. A worker's own has some ten thousand bytes."""


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """One worker, as its pages tell. `ready` is None if they don't come, and `says` then tells why not."""

    address: str
    role: str
    ready: bool | None
    says: str
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples with these labels; None if there are none."""
        found = [s.value for s in self.samples.get(name, ()) if labels.items() <= s.labels.items()]
        return sum(found) if found else None

    def by_shard(self, name: str) -> dict[ShardName, int]:
        """A metric's values by partition of the topic of texts, or by TOPIC/PARTITION."""
        found: dict[ShardName, int] = {}
        for sample in self.samples.get(name, ()):
            with contextlib.suppress(ValueError):  # a page that is not a worker's
                if math.isfinite(sample.value):
                    found[shard(sample.labels.get("partition", ""))] = int(sample.value)
        return found

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object, without the figures: a machine reads these from /metrics."""
        return {"address": self.address, "role": self.role, "ready": self.ready, "says": self.says}


def base_address(given: str) -> str:
    """http://HOST:PORT of an address as a person gives it: HOST:PORT, or the URL of one of the pages.

    Raises `click.BadParameter`."""
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or not (port or "://" in given):
        raise click.BadParameter(f"{given!r} is no HOST:PORT and no http:// URL", param_hint="--metrics")
    path = re.sub(r"/(metrics|startz|readyz|livez)?/?$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc}{path}"


def read_pages(addresses: Sequence[str]) -> list[WorkerPage]:
    """The pages of all workers, asked at the same time: one that hangs takes `TIMEOUT_S` of all."""
    if not addresses:
        return []
    with ThreadPoolExecutor(min(len(addresses), 16)) as pool:
        return list(pool.map(_page, addresses))


def watermarks(pages: Iterable[WorkerPage], role: str) -> dict[ShardName, int]:
    """The lowest watermark of each shard among the workers of a role. A solver that stands by folds
    nothing in, and does not count."""
    lowest: dict[ShardName, int] = {}
    for page in pages:
        if page.role == role and page.total("hurnet_leader") != 0:
            for name, offset in page.by_shard("hurnet_watermark_offset").items():
                lowest[name] = min(offset, lowest.get(name, offset))
    return lowest


def histogram(pages: Iterable[WorkerPage], name: str) -> dict[float, float]:
    """The buckets of all workers together."""
    buckets: dict[float, float] = {}
    for page in pages:
        for sample in page.samples.get(name, ()):
            with contextlib.suppress(KeyError, ValueError):  # a page that is not a worker's
                edge = float(sample.labels["le"])
                buckets[edge] = buckets.get(edge, 0.0) + sample.value
    return buckets


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value that `share` of a histogram's observations stay below, interpolated within its bucket as
    Prometheus does. None if there are none. `buckets` are cumulative counts by their upper edge.

    For example, of 10 observations 4 are below 1 s and all below 2 s: the median is 1 + (5 - 4) / 6 s.
    """
    cumulative = sorted(buckets.items())
    if not cumulative or cumulative[-1][1] <= 0:
        return None
    wanted = cumulative[-1][1] * share
    low_edge = low_count = 0.0
    for edge, count in cumulative:
        if count >= wanted:
            inside = (wanted - low_count) / (count - low_count) if count > low_count else 0.0
            return low_edge if edge == float("inf") else low_edge + (edge - low_edge) * inside
        low_edge, low_count = edge, count
    return None


def _page(address: str) -> WorkerPage:
    samples: dict[str, list[Sample]] = {}
    try:
        ready, says = _get(f"{address}/readyz")
        for family in text_string_to_metric_families(_get(f"{address}/metrics")[1]):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(sample)
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)).strip()
        return WorkerPage(address, "?", None, reason or type(error).__name__)
    except (ValueError, IndexError):  # what the parser raises
        return WorkerPage(address, "?", None, "its /metrics are none")
    return WorkerPage(address, _role(samples), ready, says.strip(), samples)


def _get(url: str) -> tuple[bool, str]:
    """(whether the answer is 200, the text)"""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 - http only: base_address
            return True, response.read(MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return False, error.read(MOST_BYTES).decode("utf-8", "replace")


def _role(samples: Mapping[str, Sequence[Sample]]) -> str:
    return next((sample.labels.get("role", "?") for sample in samples.get("hurnet_build_info", ())), "?")
