"""The store of a program that makes digests of record keys: under a secret, and always under the same one.

A plain digest of a key lets anybody with the store try guesses: of a million customer numbers in a second. A
digest under a secret tells nothing without it. Only ingest makes digests; all others compare those that are
stored, or read keys from Kafka.

    record key "c-1042"  ->  BLAKE2b, 16 bytes                 in the workers; in a store without a secret
                         ->  BLAKE2b of that under the secret  in a store with one: keys, deletions, audits

The meta of the store has a digest of the secret, `key_check`. If it is another one than here, nothing is
written: two digests of one key would be two keys, and a deletion would miss what it names.

In the same way it keeps the rules by which texts are redacted (core/pii.py): questions are redacted by what
the store says, and would not find what came in by other rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from typing_extensions import override

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.entry_store import RedisEntryStore
from hurnet_stream.core.stored.batch import KEY_BYTES, Batch, Deletion, EmbedderIdentity, Vectors
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Appended, Refused, Unfinished


class KeyedEntryStore(RedisEntryStore):
    """Fills `EntryStore` as its base does, and has digests of keys under `secret`; "" leaves them as they
    are. Its texts are redacted by `rules`, which whoever reads them from Kafka has done."""

    def __init__(self, connection: Connection, secret: str = "", rules: str = "") -> None:
        super().__init__(connection)
        self._rules = rules
        sums = blake2b(secret.encode(), digest_size=32, person=b"hurnet-keys")
        self._secret = sums.digest()
        self._check = blake2b(b"check", key=self._secret, digest_size=KEY_BYTES).hexdigest() if secret else ""

    @override
    def open(self, identity: EmbedderIdentity, writing: bool = False) -> None:
        """Raises `ConfigurationError`, too, if the store's digests are under another secret, or none, or if
        its texts are redacted by other rules."""
        super().open(identity, writing)
        if writing and self._check and not self._opened.meta.key_check:
            self._opened.adopt_key_check(self._check)  # if nothing is in the store yet
        if writing and self._rules and not self._opened.meta.redaction:
            self._opened.adopt_redaction(self._rules)
        self._must_agree()

    @override
    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        self._must_agree()
        return RedisEntryStore.append(
            self, replace(batch, keys=[key and self._digest(key) for key in batch.keys]), expected
        )

    @override
    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        self._must_agree()
        under = deletion.key and self._digest(deletion.key)
        return super().delete(partition, replace(deletion, key=under), expected)

    @override
    def under_keys(
        self, partition: int, keys: Sequence[tuple[bytes, str]]
    ) -> Mapping[tuple[bytes, str], Mapping[str, Vectors]]:
        plain = {(self._digest(digest), context): (digest, context) for digest, context in keys}
        return {plain[key]: found for key, found in super().under_keys(partition, list(plain)).items()}

    def _digest(self, digest: bytes) -> bytes:
        if not self._check:
            return digest
        sums = blake2b(digest, key=self._secret, digest_size=KEY_BYTES)
        return sums.digest()

    def _must_agree(self) -> None:
        """Raises `ConfigurationError` if the digests in the store are not under this secret, or its texts are
        redacted by other rules."""
        self._must_agree_on_redaction()
        stored, prefix = self._opened.meta.key_check, self._opened.keys.prefix
        if stored == self._check:
            return
        made = "under a secret" if stored else "without a secret"
        if stored and self._check:
            made = "under another secret"
        raise ConfigurationError(
            f"the digests of keys in the store {prefix!r} were made {made} (HURNET_PRIVACY_KEY_SECRET or its"
            " _FILE). Nothing was written: set what the store was begun with. To change it, set"
            " HURNET_REDIS_PREFIX to a new name, and another store is filled from Kafka"
        )

    def _must_agree_on_redaction(self) -> None:
        stored, prefix = self._opened.meta.redaction, self._opened.keys.prefix
        if stored == self._rules:
            return
        raise ConfigurationError(
            f"texts in the store {prefix!r} are redacted by {_named(stored)}, and HURNET_PII_KINDS says"
            f" {_named(self._rules)}. Nothing was written: set what the store was begun with. To change it,"
            " set HURNET_REDIS_PREFIX to a new name, and another store is filled from Kafka"
        )


def _named(rules: str) -> str:
    """The rules for people, of which the number stands before the kinds."""
    number, _, kinds = rules.partition(":")
    return f"{kinds} (rules {number})" if rules else "nothing"
