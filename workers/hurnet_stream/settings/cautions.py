"""What is possible but probably not meant. A worker that starts logs it as warnings.

`settings` is `Settings`, untyped as in `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hurnet_stream.settings.addresses import host_ports, is_loopback, redis_address
from hurnet_stream.settings.secret_files import SectionWithSecrets, is_open_to_others
from hurnet_stream.settings.types import matches


def cautions(settings: Any) -> Iterator[str]:
    """One line each."""
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
