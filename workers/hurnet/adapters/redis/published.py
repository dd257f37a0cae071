"""What others than the solver read of it: weights as the fields of a hash, under a SHA-256 of them all, and
the audit of deletions as JSON."""

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

from hurnet.core.formats import AUDIT, WEIGHTS, check_format
from hurnet.core.stored.batch import NOTHING, Deletion
from hurnet.errors import Superseded
from hurnet.ports import DeletionAudit, PublishedWeights

if TYPE_CHECKING:
    from hurnet.core.solve.weights import Certificate, Floats

_DIGEST: Final = "sha256"


def pack(weights: PublishedWeights) -> dict[str, bytes]:
    """All but the context's name. Raises ValueError where a figure of the certificate is not finite."""
    fields = {
        "format": str(WEIGHTS).encode(),
        "version": str(weights.version).encode(),
        "watermarks": json.dumps(dict(weights.watermarks)).encode(),
        "published_ms": str(weights.published_ms).encode(),
        "certificate": json.dumps(weights.weights.certificate.as_dict(), allow_nan=False).encode(),
        "projection": np.ascontiguousarray(weights.weights.projection, "<f8").tobytes(),
    }
    return {**fields, _DIGEST: _digest(fields)}


def unpack(context: str, stored: Mapping[bytes, bytes]) -> PublishedWeights:
    """What `pack` was given; fields and figures that this program doesn't know are left aside.

    Raises `NewerFormat`, which is a ValueError, for weights that only newer programs can read; ValueError,
    KeyError or TypeError for anything else that is none."""
    from hurnet.core.solve.weights import Weights

    fields = {name.decode(): value for name, value in stored.items()}
    check_format("these weights", int(fields["format"]), WEIGHTS)
    if fields.pop(_DIGEST) != _digest(fields):
        raise ValueError("their SHA-256 differs")
    certificate = _certificate(fields["certificate"])
    flat = _finite(fields["projection"])
    if not flat.size:
        raise ValueError("there is no projection")
    dimension = math.isqrt(flat.size)
    weights = Weights(flat.reshape(dimension, dimension), certificate)
    watermarks = {int(p): int(w) for p, w in json.loads(fields["watermarks"]).items()}
    return PublishedWeights(context, int(fields["version"]), weights, watermarks, int(fields["published_ms"]))


def _certificate(raw: bytes) -> Certificate:
    """Of the figures that this program knows; those without a default must be there, each of its type."""
    figures: Certificate = _reader().validate_json(raw, strict=True)
    if not all(math.isfinite(figure) for figure in asdict(figures).values() if isinstance(figure, float)):
        raise ValueError("a figure of the certificate is not finite")
    return figures


@cache
def _reader() -> TypeAdapter[Any]:
    from hurnet.core.solve.weights import Certificate

    return TypeAdapter(Certificate)


def _finite(raw: bytes) -> Floats:
    numbers = np.frombuffer(raw, "<f8")
    if not np.isfinite(numbers).all():
        raise ValueError("the projection holds what is not finite")
    return numbers


def _digest(fields: Mapping[str, bytes]) -> bytes:
    state = hashlib.sha256()
    for part in (part for name in sorted(fields) for part in (name.encode(), fields[name])):
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest().encode()


def number(raw: bytes | None) -> int:
    """A version as it is stored; 0 where there is none, or what is there is no number."""
    try:
        return max(0, int(raw or 0))
    except ValueError:
        return 0


def check_successor(weights: PublishedWeights, version: bytes | None, watermarks: bytes | None) -> None:
    """Raise `Superseded` unless the weights can follow those stored. What is stored and can't be read is
    followed by any: only the solver that holds the role comes here."""
    back = [p for p, w in watermarks_of(watermarks).items() if weights.watermarks.get(p, NOTHING) < w]
    if weights.version != number(version) + 1 or back:
        raise Superseded(
            f"weights {weights.version} of context {weights.context!r} can't follow {number(version)}"
            + (f": they know less of shards {back}" if back else "")
        )


def watermarks_of(stored: bytes | None) -> dict[int, int]:
    """What weights have seen per shard; nothing where that is not readable."""
    try:
        return {int(p): int(w) for p, w in json.loads(stored or b"{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def pack_audit(unlearned: DeletionAudit) -> str:
    """All of it; the key's digest in hex."""
    fields = {"format": AUDIT, **asdict(unlearned)}
    if unlearned.deletion.key is not None:
        fields["deletion"]["key"] = unlearned.deletion.key.hex()
    return json.dumps(fields)


def unpack_audit(raw: bytes) -> DeletionAudit:
    """What `pack_audit` was given, without what this program doesn't know. Raises `NewerFormat`, which is a
    ValueError, or ValueError, KeyError or TypeError for anything else."""
    fields = json.loads(raw)
    check_format("this audit", int(fields["format"]), AUDIT)
    asked = fields["deletion"]
    key = None if asked["key"] is None else bytes.fromhex(asked["key"])
    named = tuple(asked["targets"]), asked["context"], asked["parts"]
    return DeletionAudit(
        partition=int(fields["partition"]),
        deletion=Deletion(asked["offset"], asked["timestamp_ms"], key, *named),
        done_ms=int(fields["done_ms"]),
        pairs=int(fields["pairs"]),
        digests={context: (before, after) for context, (before, after) in fields["digests"].items()},
        watermarks={int(p): int(w) for p, w in fields["watermarks"].items()},
        entries=int(fields["entries"]),
    )
