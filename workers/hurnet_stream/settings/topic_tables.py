"""Checks of [topics.NAME]: what goes with which format, and what a format needs of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

BY_SCHEMA: Final = {
    "avro": ("fastavro",),
    "protobuf": ("google.protobuf", "grpc_tools"),
    "json-schema": ("jsonschema",),
}
"""The formats that need the registry, and the packages that read them."""
_EXPRESSIONS: Final = ("text", "answer", "context", "key", "weight", "timestamp", "metadata", "when")


def problems(settings: Any) -> Iterator[str]:
    """What is wrong with the tables of topics and with the registry, one line each."""
    kafka = settings.kafka
    own = {
        getattr(kafka, name): f"HURNET_KAFKA_{name.upper()}"
        for name in ("texts", "queries", "answers", "feedback", "dead_letters", "canary_answers")
    }
    for name, table in settings.topics.items():
        where = f"[topics.{name}] in the settings file"
        if name in own:
            yield f"{where} is the topic of {own[name]}, which has a form of its own: leave the table out"
        yield from _table(where, table)
        if table.chunk:
            yield from _lacking(f"chunk of {where}", "semantic_text_splitter")
        if table.format in BY_SCHEMA:
            yield from _needs(f"format {table.format} of {where}", table.format, settings.registry.url)
    yield from _registry(settings.registry)


def _table(where: str, table: Any) -> Iterator[str]:
    if table.format == "hurnet":
        if table.chunk:
            yield f"chunk of {where} does not go with format hurnet, whose texts stay as they are"
        if table.envelope:
            yield f"envelope of {where} does not go with format hurnet, whose messages have none"
        for name in _EXPRESSIONS:
            if getattr(table, name):
                yield f"{name} of {where} does not go with format hurnet, whose messages say it themselves"
    elif not table.text and table.format != "text":
        yield f'text of {where} is missing: say where the text is, as in text = "value.subject"'
    if table.envelope == "debezium" and table.format == "text":
        yield f"envelope debezium of {where} does not go with format text: it is json, avro or protobuf"


def _needs(what: str, format_name: str, url: str) -> Iterator[str]:
    if not url:
        yield f"{what} needs HURNET_REGISTRY_URL, the address of the schema registry"
    yield from _lacking(what, *BY_SCHEMA[format_name], "httpx")


def _lacking(what: str, *packages: str) -> Iterator[str]:
    if missing := [package for package in packages if not _is_there(package)]:
        yield (
            f"{what} needs the extra readers: pip install 'hurnet-stream[readers]'"
            f" ({', '.join(missing)} not found)"
        )


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def _registry(registry: Any) -> Iterator[str]:
    if not registry.url:
        return
    scheme, _, rest = registry.url.partition("://")
    if scheme not in ("http", "https") or not rest.split("/")[0]:
        yield "HURNET_REGISTRY_URL must be an address like https://registry:8081"
    elif "@" in rest.split("/")[0]:
        yield "HURNET_REGISTRY_URL must not hold a password: use HURNET_REGISTRY_USERNAME and _PASSWORD"
    elif scheme == "http" and (registry.ca_file or registry.cert_file):
        yield "HURNET_REGISTRY_CA_FILE and HURNET_REGISTRY_CERT_FILE need a HURNET_REGISTRY_URL of https://"
    if registry.token and (registry.username or registry.password):
        yield "HURNET_REGISTRY_TOKEN and HURNET_REGISTRY_USERNAME don't go together: leave one of them out"
    if registry.username and not registry.password:
        yield "HURNET_REGISTRY_USERNAME needs HURNET_REGISTRY_PASSWORD or HURNET_REGISTRY_PASSWORD_FILE"
