"""Published weights as the fields of a hash.

    format        of this layout (core/formats.py)
    version       1, 2, 3 ... per context
    watermarks    JSON: partition -> the offset up to which the weights have learned
    published_ms  when, in milliseconds since 1970
    certificate   JSON: figures that tell how good the solution is
    projection    P: d * d float64, little endian
    sha256        of all the other fields

Every reader checks the digest, the types, and that all numbers are finite: damaged weights never serve.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import TypeAdapter

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.core.formats import WEIGHTS, check_format
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Superseded
from hurnet_stream.ports import PublishedWeights

if TYPE_CHECKING:
    from hurnet_stream.core.arrays import Floats
    from hurnet_stream.core.solve.weights import Certificate

_DIGEST: Final = "sha256"


def encode_weights(weights: PublishedWeights) -> dict[str, bytes]:
    """The fields of the hash. Raises ValueError if a figure of the certificate is not finite."""
    fields = {
        "format": str(WEIGHTS).encode(),
        "version": str(weights.version).encode(),
        "watermarks": json.dumps(dict(weights.watermarks)).encode(),
        "published_ms": str(weights.published_ms).encode(),
        "certificate": json.dumps(weights.weights.certificate.as_dict(), allow_nan=False).encode(),
        "projection": np.ascontiguousarray(weights.weights.projection, "<f8").tobytes(),
    }
    return {**fields, _DIGEST: _digest(fields)}


def decode_weights(context: str, stored: Mapping[bytes, bytes]) -> PublishedWeights:
    """What `encode_weights` was given. Fields and figures that this program doesn't know are ignored.

    Raises `NewerFormat` (a ValueError) if only a newer program can read the weights; ValueError, KeyError or
    TypeError if they are damaged.
    """
    from hurnet_stream.core.solve.weights import Weights

    fields = {name.decode(): value for name, value in stored.items()}
    check_format("these weights", int(fields["format"]), WEIGHTS)
    if fields.pop(_DIGEST) != _digest(fields):
        raise ValueError("their SHA-256 differs")
    certificate = _certificate(fields["certificate"])
    flat = _finite(fields["projection"])  # (d * d,) float64
    if not flat.size:
        raise ValueError("there is no projection")
    dimension = math.isqrt(flat.size)
    weights = Weights(flat.reshape(dimension, dimension), certificate)
    watermarks = {int(p): int(w) for p, w in stored_json.loads(fields["watermarks"]).items()}
    return PublishedWeights(context, int(fields["version"]), weights, watermarks, int(fields["published_ms"]))


def _certificate(raw: bytes) -> Certificate:
    """The figures that this program knows. Those without a default must be there, each of its type."""
    figures: Certificate = _reader().validate_json(raw, strict=True)
    if not all(math.isfinite(figure) for figure in asdict(figures).values() if isinstance(figure, float)):
        raise ValueError("a figure of the certificate is not finite")
    return figures


@cache  # it takes pydantic some milliseconds to build
def _reader() -> TypeAdapter[Any]:
    from hurnet_stream.core.solve.weights import Certificate

    return TypeAdapter(Certificate)


def _finite(raw: bytes) -> Floats:
    numbers = np.frombuffer(raw, "<f8")
    if not np.isfinite(numbers).all():
        raise ValueError("the projection holds what is not finite")
    return numbers


def _digest(fields: Mapping[str, bytes]) -> bytes:
    state = hashlib.sha256()
    # In the order of their names, each behind its length: other fields never give the same bytes.
    for part in (part for name in sorted(fields) for part in (name.encode(), fields[name])):
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest().encode()


def decode_number(raw: bytes | None) -> int:
    """A version or a time as it is stored; 0 if there is none, or what is stored is no number."""
    try:
        return max(0, int(raw or 0))
    except ValueError:
        return 0


def check_successor(weights: PublishedWeights, version: bytes | None, watermarks: bytes | None) -> None:
    """Raises `Superseded` unless the weights can follow the stored ones, whose fields are given.

    Anything may follow a version or watermarks that can't be read: only the solver that holds the role comes
    here, and it must be able to replace what is damaged.
    """
    seen, last = decode_watermarks(watermarks), decode_number(version)
    behind = [p for p, watermark in seen.items() if weights.watermarks.get(p, NOTHING) < watermark]
    if weights.version != last + 1 or behind:
        raise Superseded(
            f"weights {weights.version} of context {weights.context!r} can't follow {last}"
            + (f": they know less of shards {behind}" if behind else "")
        )


def decode_watermarks(stored: bytes | None) -> dict[int, int]:
    """The offsets that weights have seen, per shard; empty if that is not readable."""
    try:
        return {int(p): int(w) for p, w in stored_json.loads(stored or b"{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
