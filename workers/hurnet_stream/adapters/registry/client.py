"""Schemas by their ids, from a registry that speaks as Confluent's does.

    GET /schemas/ids/42                     {"schema": "...", "schemaType": "PROTOBUF", "references": [...]}
    GET /subjects/common/versions/3         the same, for each reference
    404, error_code 40403                   there is no such schema: a record that names it is a dead letter
    no reply, 5xx, 401, 404 without code    the registry is away, or it is another server: waited for

A schema never changes under its id, so each is kept, and the registry may be away while no new id comes. An
id that is not there may be about to come, if the registry is a copy of another one that lags behind: it is
asked for again during the first seconds, before records become dead letters.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from hurnet_schemas import InvalidMessage
from hurnet_stream.adapters.registry import http
from hurnet_stream.errors import RegistryFailing
from hurnet_stream.ports import Schema
from hurnet_stream.settings.settings import RegistrySettings

PATIENCE_S: Final = 2.0
"""How long an id that is not there is asked for again."""
IMPATIENT_S: Final = 60.0
"""For so long after that no other id is waited for: ids that nobody has registered would otherwise hold up
all topics. And for so long an id that was refused is not asked for again."""
REFERENCES_MOST: Final = 200
_NEVER: Final = (float("-inf"), InvalidMessage("invalid-message", ""))
_T = TypeVar("_T")


class Registry:
    """A client of the registry that the settings name. `beat` is called before each question, as a sign that
    a long turn gets on. Without it nobody tries again later: then an id that is not there is not waited for.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        beat: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._beat = beat or (lambda: None)
        self._patient = beat is not None
        self._clock = clock
        self._schemas: OrderedDict[int, Schema] = OrderedDict()
        self._versions: OrderedDict[tuple[str, int], Mapping[str, Any]] = OrderedDict()
        self._refused: OrderedDict[int, tuple[float, InvalidMessage]] = OrderedDict()
        self._patient_until = float("-inf")

    def schema(self, schema_id: int) -> Schema:
        """The schema with this id. Raises `InvalidMessage` and `RegistryFailing`."""
        known = self._schemas.get(schema_id)
        if known is not None:
            self._schemas.move_to_end(schema_id)
            return known
        until, refusal = self._refused.get(schema_id, _NEVER)
        if self._clock() < until:
            raise InvalidMessage(refusal.reason, refusal.detail)
        try:
            return self._keep(self._schemas, schema_id, self._asked(schema_id))
        except InvalidMessage as error:
            self._keep(self._refused, schema_id, (self._clock() + IMPATIENT_S, error))
            raise

    def _asked(self, schema_id: int) -> Schema:
        deadline = self._clock() + self._settings.timeout
        try:
            said = self._ask(f"/schemas/ids/{schema_id}", deadline)
        except http.NotThere:
            self._wait_for(schema_id)
            raise _nowhere(schema_id) from None
        except http.TooLarge:
            raise _too_large(f"schema {schema_id}") from None
        return self._with_references(said, deadline)

    def _wait_for(self, schema_id: int) -> None:
        """Raises `RegistryFailing` as long as the id may still come."""
        now = self._clock()
        if not self._patient:
            return
        if now >= self._patient_until + IMPATIENT_S:
            self._patient_until = now + PATIENCE_S
        if now < self._patient_until:
            raise RegistryFailing(f"the schema registry has no schema {schema_id} yet")

    def _with_references(self, said: Mapping[str, Any], deadline: float) -> Schema:
        kind, text = said.get("schemaType", "AVRO"), said.get("schema")
        if kind not in ("AVRO", "PROTOBUF", "JSON") or not isinstance(text, str):
            raise InvalidMessage(
                "invalid-message", f"the registry has a schema of an unknown kind, {kind!r:.40}"
            )
        references: dict[str, str] = {}
        self._collect(said, references, frozenset(), deadline)
        return Schema(kind, text, references)

    def _collect(
        self, said: Mapping[str, Any], found: dict[str, str], above: frozenset[str], deadline: float
    ) -> None:
        """Put into `found` all that a schema refers to, what is needed by others before them."""
        references = said.get("references") or ()
        for reference in references if isinstance(references, list | tuple) else (None,):
            try:
                name, place = str(reference["name"]), (str(reference["subject"]), int(reference["version"]))
            except (TypeError, KeyError, ValueError):
                raise InvalidMessage("invalid-message", "a reference of the schema can't be read") from None
            if name in above:
                raise InvalidMessage("invalid-message", f"the schema refers to itself by {name!r:.80}")
            if name in found:
                continue
            if len(above) + len(found) >= REFERENCES_MOST:
                raise InvalidMessage(
                    "invalid-message", f"more than {REFERENCES_MOST} schemas are referred to"
                )
            version = self._version(place, deadline)
            self._collect(version, found, above | {name}, deadline)
            found[name] = str(version.get("schema"))

    def _version(self, place: tuple[str, int], deadline: float) -> Mapping[str, Any]:
        if place not in self._versions:
            subject, version = place
            try:
                said = self._ask(f"/subjects/{quote(subject, safe='')}/versions/{version}", deadline)
            except http.NotThere:
                raise InvalidMessage(
                    "invalid-message",
                    f"the schema refers to version {version} of {subject!r:.80}, which is not registered",
                ) from None
            except http.TooLarge:
                raise _too_large(f"version {version} of {subject!r:.80}") from None
            self._keep(self._versions, place, said)
        return self._versions[place]

    def _ask(self, path: str, deadline: float) -> dict[str, Any]:
        self._beat()
        if self._clock() > deadline:
            # What was found until now is kept: the next try goes on from there.
            raise RegistryFailing(f"the schema registry took more than {self._settings.timeout:g} s")
        return http.ask(self._settings, path, deadline, self._clock)

    def _keep(self, kept: OrderedDict[Any, _T], name: Hashable, value: _T) -> _T:
        kept[name] = value
        if len(kept) > self._settings.cache:
            kept.popitem(last=False)
        return value


def _nowhere(schema_id: int) -> InvalidMessage:
    return InvalidMessage(
        "invalid-message",
        f"the registry has no schema {schema_id}, whose id the value begins with. Is it the registry that the"
        " producer registers with (HURNET_REGISTRY_URL)?",
    )


def _too_large(what: str) -> InvalidMessage:
    return InvalidMessage("invalid-message", f"{what} has more than {http.REPLY_BYTES_MOST:,} bytes")
