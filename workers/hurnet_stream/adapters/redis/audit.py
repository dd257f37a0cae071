"""The audit of deletions as JSON, which any JSON tool can read: `hurnet forget` shows it."""

from __future__ import annotations

import json
from dataclasses import asdict

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.core.formats import AUDIT, check_format
from hurnet_stream.core.stored.batch import Deletion, Expiry
from hurnet_stream.ports import DeletionAudit


def encode_audit(audit: DeletionAudit) -> str:
    """The audit with its format; the record key's digest is in hex."""
    fields = {"format": AUDIT, **asdict(audit)}
    if audit.deletion.expiry is None:
        del fields["deletion"]["expiry"]
    if audit.deletion.key is not None:
        fields["deletion"]["key"] = audit.deletion.key.hex()
    return json.dumps(fields)


def decode_audit(raw: bytes) -> DeletionAudit:
    """What `encode_audit` was given. Fields that this program doesn't know are ignored.

    Raises `NewerFormat` (a ValueError) if only a newer program can read it; ValueError, KeyError or
    TypeError if it is damaged.
    """
    fields = stored_json.loads(raw)
    check_format("this audit", int(fields["format"]), AUDIT)
    deletion = fields["deletion"]
    return DeletionAudit(
        partition=int(fields["partition"]),
        deletion=Deletion(
            deletion["offset"],
            deletion["timestamp_ms"],
            None if deletion["key"] is None else bytes.fromhex(deletion["key"]),
            tuple(deletion["targets"]),
            deletion["context"],
            deletion["parts"],
            expiry=Expiry(**deletion["expiry"]) if deletion.get("expiry") else None,
        ),
        done_ms=int(fields["done_ms"]),
        pairs=int(fields["pairs"]),
        digests={context: (before, after) for context, (before, after) in fields["digests"].items()},
        watermarks={int(p): int(w) for p, w in fields["watermarks"].items()},
        entries=int(fields["entries"]),
    )
