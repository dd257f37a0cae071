"""The meta of a store: which embedder made its vectors, and which programs may read and write it."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.core.formats import (
    BEGUN,
    COMPACTED_FROM,
    KEYED_FROM,
    REDACTED_FROM,
    STORE,
    NewerFormat,
    check_format,
)
from hurnet_stream.core.stored.batch import APPEND, UPSERT, EmbedderIdentity
from hurnet_stream.errors import Unreadable, UpgradeNeeded


@dataclass(frozen=True, slots=True)
class Meta:
    """The meta as it is stored. `raw` is the bytes that were read, to see at once whether they changed.

    `epoch` is a random name that is drawn when the store is begun. A program that adds something which older
    ones would misread raises the stored `min_reader`, or `min_writer` if only their writes would do harm.
    `keys` says how keyed texts are taken in unless a setting says it; a store that an older program has begun
    says nothing, and there they are appended. `key_check` tells under which secret digests of
    keys are; "" if under none. `redaction` tells by which rules texts are redacted; "" if by none.
    """

    identity: EmbedderIdentity
    epoch: str
    raw: bytes
    min_writer: int = BEGUN
    min_reader: int = BEGUN
    keys: str = APPEND
    key_check: str = ""
    redaction: str = ""

    @classmethod
    def begin(cls, identity: EmbedderIdentity) -> Meta:
        """The meta of a new store."""
        epoch = secrets.token_hex(8)
        formats = {"format": BEGUN, "min_reader": BEGUN, "min_writer": BEGUN, "keys": UPSERT}
        raw = json.dumps({**formats, "epoch": epoch, **asdict(identity)}).encode()
        return cls(identity, epoch, raw, keys=UPSERT)

    @classmethod
    def parse(cls, raw: bytes, key: str) -> Meta:
        """The meta in `raw`, which was read from `key`. Fields that this program doesn't know are ignored.

        Raises `UpgradeNeeded` if only a newer program may read the store, `Unreadable` if it is damaged.
        """
        try:
            fields = stored_json.loads(raw)
            check_format(f"the store of {key}", int(fields["min_reader"]), STORE)
            identity = EmbedderIdentity(
                str(fields["name"]), str(fields["fingerprint"]), int(fields["dimension"])
            )
            formats = int(fields["min_writer"]), int(fields["min_reader"])
            keys = UPSERT if fields.get("keys") == UPSERT else APPEND
            privacy = str(fields.get("key_check", "")), str(fields.get("redaction", ""))
            return cls(identity, str(fields["epoch"]), raw, *formats, keys, *privacy)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(
                f"{key} is not readable ({error!r}): it is damaged, or another program wrote it"
            ) from error

    @property
    def is_compacted(self) -> bool:
        """Whether what deletions leave behind may be compacted, which programs before format 2 can't read."""
        return self.min_reader >= COMPACTED_FROM

    def under_key_check(self, key_check: str) -> Meta:
        """The same for a store whose digests of keys are under this secret. Programs that would make plain
        ones must not write to it."""
        return self._with(KEYED_FROM, "key_check", key_check) if key_check else self

    def under_redaction(self, rules: str) -> Meta:
        """The same for a store whose texts are redacted by these rules. Programs that would not redact must
        neither write to it nor look for questions in it."""
        return self._with(REDACTED_FROM, "redaction", rules) if rules else self

    def with_keys(self, mode: str) -> Meta:
        """The same for a store that takes keyed texts in like that unless a setting says it."""
        return self._with(BEGUN, "keys", mode)

    def _with(self, since: int, field: str, value: str) -> Meta:
        fields = {**stored_json.loads(self.raised(since).raw), field: value}
        return Meta.parse(json.dumps(fields).encode(), self.epoch)

    def raised(self, to: int) -> Meta:
        """The same for a store that only programs of this format can read and write from now on."""
        needs = {"min_reader": self.min_reader, "min_writer": self.min_writer}
        raised = {name: max(to, least) for name, least in needs.items()}
        stored = stored_json.loads(self.raw)
        fields = {**stored, "format": max(to, int(stored.get("format", to))), **raised}
        return Meta.parse(json.dumps(fields).encode(), self.epoch)

    def check_writer(self) -> None:
        """Raises `UpgradeNeeded` if only newer programs may write to the store."""
        try:
            check_format("the store's newest entries", self.min_writer, STORE)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error


def described(identity: EmbedderIdentity) -> str:
    """The embedder, for people."""
    return f"embedder {identity.name!r} ({identity.dimension}-d, fingerprint {identity.fingerprint})"


def same_vectors(one: EmbedderIdentity, other: EmbedderIdentity) -> bool:
    """Whether both make the same vectors, whatever they are called."""
    return (one.fingerprint, one.dimension) == (other.fingerprint, other.dimension)
