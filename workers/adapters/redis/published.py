"""What others than the solver read of it: weights as the fields of a hash, under a SHA-256 of them all, and
the audit of deletions as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import numpy as np

from workers.core.context import NOTHING, Deletion
from workers.errors import Superseded
from workers.ports import PublishedWeights, Unlearned

_SIGNED: Final = ("version", "watermarks", "published_ms", "certificate", "projection")
_MEAN: Final = "mean"
"""Of the rows, where the weights have an intercept, else empty. Weights of older versions lack it."""


def pack(weights: PublishedWeights) -> dict[str, bytes]:
    """All but the context's name. Raises ValueError where a figure of the certificate is not finite."""
    fields = {
        "version": str(weights.version).encode(),
        "watermarks": json.dumps(dict(weights.watermarks)).encode(),
        "published_ms": str(weights.published_ms).encode(),
        "certificate": json.dumps(weights.weights.certificate.as_dict(), allow_nan=False).encode(),
        "projection": np.ascontiguousarray(weights.weights.projection, "<f8").tobytes(),
    }
    intercept = weights.weights.intercept
    fields[_MEAN] = np.ascontiguousarray(intercept.mean, "<f8").tobytes() if intercept else b""
    return {**fields, "sha256": _digest(fields)}


def unpack(context: str, stored: Mapping[bytes, bytes]) -> PublishedWeights:
    """What `pack` was given. Raises ValueError, KeyError or TypeError for anything else."""
    from workers.core.weights import Certificate, Intercept, Weights

    fields = {name: stored[name.encode()] for name in _SIGNED}
    mean = stored.get(_MEAN.encode())
    if mean is not None:
        fields[_MEAN] = mean
    if _digest(fields) != stored[b"sha256"]:
        raise ValueError("their SHA-256 differs")
    flat = np.frombuffer(fields["projection"], "<f8")
    dimension = math.isqrt(flat.size)
    certificate = Certificate(**json.loads(fields["certificate"]))
    shift = np.frombuffer(mean or b"", "<f8")
    if shift.size != (dimension if certificate.intercept else 0):
        raise ValueError(f"a mean of {shift.size} for {dimension} dimensions")
    intercept = Intercept(shift, certificate.count) if certificate.intercept else None
    weights = Weights(flat.reshape(dimension, dimension), certificate, intercept)
    watermarks = {int(p): int(w) for p, w in json.loads(fields["watermarks"]).items()}
    return PublishedWeights(context, int(fields["version"]), weights, watermarks, int(fields["published_ms"]))


def _digest(fields: Mapping[str, bytes]) -> bytes:
    state = hashlib.sha256()
    for name in (*_SIGNED, *({_MEAN} & fields.keys())):
        state.update(len(fields[name]).to_bytes(8, "little") + fields[name])
    return state.hexdigest().encode()


def check_successor(weights: PublishedWeights, version: bytes | None, watermarks: bytes | None) -> None:
    """Raise `Superseded` unless the weights can follow those stored."""
    before = {int(p): int(w) for p, w in json.loads(watermarks or b"{}").items()}
    back = [p for p, w in before.items() if weights.watermarks.get(p, NOTHING) < w]
    if weights.version != int(version or 0) + 1 or back:
        raise Superseded(
            f"weights {weights.version} of context {weights.context!r} can't follow {int(version or 0)}"
            + (f": they know less of shards {back}" if back else "")
        )


def pack_audit(unlearned: Unlearned) -> str:
    """All of it; the key's digest in hex."""
    fields = asdict(unlearned)
    if unlearned.deletion.key is not None:
        fields["deletion"]["key"] = unlearned.deletion.key.hex()
    return json.dumps(fields)


def unpack_audit(raw: bytes) -> Unlearned:
    """What `pack_audit` was given. Raises ValueError, KeyError or TypeError for anything else."""
    fields = json.loads(raw)
    asked = fields.pop("deletion")
    key = None if asked["key"] is None else bytes.fromhex(asked["key"])
    deletion = Deletion(asked["offset"], asked["timestamp_ms"], key, tuple(asked["targets"]))
    digests = {context: (before, after) for context, (before, after) in fields.pop("digests").items()}
    watermarks = {int(p): int(w) for p, w in fields.pop("watermarks").items()}
    return Unlearned(deletion=deletion, digests=digests, watermarks=watermarks, **fields)
