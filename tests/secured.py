"""A Kafka and a Redis that check certificates, passwords and rights, and the users of each role.

Both have a second, open listener, at which the test is an administrator: it makes users and takes rights away
while the servers run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
import trustme
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)
from kafka.protocol.admin.client_quotas import AlterClientQuotasRequest

from hurnet_stream.local import KafkaServer, ValkeyServer
from hurnet_stream.local.kafka import Seat, random_id
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.operations.rights import KafkaRight
from tests.acceptance.system import wait_for
from tests.tools import needed

MECHANISM = "SCRAM-SHA-512"
_SECURE = "org.apache.kafka.common.security"
_SCRAM = f"{_SECURE}.scram.ScramLoginModule required;"
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}


class Authority:
    """An authority, and the files of certificates that it has signed for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str, expires: timedelta = timedelta(days=1)) -> tuple[Path, Path]:
        """The files of a certificate with its chain, and of its key. What was there is replaced."""
        issued = self._authority.issue_cert(HOST, "localhost", not_after=datetime.now(UTC) + expires)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return certificate, key

    def bundle(self, name: str, expires: timedelta = timedelta(days=1)) -> Path:
        """Key and certificate in one file, as Kafka wants them."""
        certificate, key = self.issue(name, expires)
        file = self._folder / f"{name}-bundle.pem"
        file.write_bytes(_pkcs8(key) + certificate.read_bytes())
        return file


def _pkcs8(key: Path) -> bytes:
    """Kafka reads keys in this format only."""
    from cryptography.hazmat.primitives import serialization as s

    loaded = s.load_pem_private_key(key.read_bytes(), None)
    return loaded.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


@dataclass
class SecuredKafka:
    """`inner` is the open address, `outer` the one that checks everything."""

    server: KafkaServer
    inner: str
    outer: str
    authority: Authority
    passwords: dict[str, str] = field(default_factory=dict)

    def administrator(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.inner)

    def set_password(self, user: str, password: str) -> None:
        self.passwords[user] = password
        with self.administrator() as admin:
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, MECHANISM, password)])

    def allow(self, user: str, rights: Iterable[KafkaRight]) -> None:
        if acls := [acl(user, right) for right in rights]:
            with self.administrator() as admin:
                created = admin.create_acls(acls)
                assert not created["failed"], created
                wait_for(lambda: all(admin.describe_acls(each)[0] for each in acls), what="they are in force")

    def take_away(self, user: str, rights: Iterable[KafkaRight]) -> None:
        with self.administrator() as admin:
            for right in rights:
                pattern = ResourcePatternFilter(
                    ResourceType[right.kind.upper()], right.name, _pattern_type(right)
                )
                operation = ACLOperation[right.operation.upper()]
                those = ACLFilter(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)
                admin.delete_acls([those])
                wait_for(lambda those=those: not admin.describe_acls(those)[0], what="it is taken away")  # type: ignore[misc]

    def limit(self, user: str, **quotas: float) -> None:
        """Sets quotas, as `kafka-configs.sh --alter --entity-type users --add-config` does."""
        entry = AlterClientQuotasRequest.EntryData
        request = AlterClientQuotasRequest(
            entries=[
                entry(
                    entity=[entry.EntityData(entity_type="user", entity_name=user)],
                    ops=[entry.OpData(key=k, value=float(v), remove=False) for k, v in quotas.items()],
                )
            ],
            validate_only=False,
        )
        with self.administrator() as admin:

            async def ask() -> Any:
                return await admin._manager.send(request)

            (answer,) = admin._manager.run(ask).entries
            assert not answer.error_code, answer

    def variables(self, user: str) -> dict[str, str]:
        """The settings of a client that logs in as `user`."""
        return {
            "HURNET_KAFKA_BOOTSTRAP": self.outer,
            "HURNET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "HURNET_KAFKA_SASL_MECHANISM": MECHANISM,
            "HURNET_KAFKA_CA_FILE": str(self.authority.file),
            "HURNET_KAFKA_USERNAME": user,
            "HURNET_KAFKA_PASSWORD": self.passwords[user],
        }


def acl(user: str, right: KafkaRight) -> ACL:
    pattern = ResourcePattern(ResourceType[right.kind.upper()], right.name, _pattern_type(right))
    return ACL(f"User:{user}", "*", ACLOperation[right.operation.upper()], ACLPermissionType.ALLOW, pattern)


def _pattern_type(right: KafkaRight) -> ACLResourcePatternType:
    return ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL


@contextlib.contextmanager
def secured_kafka(authority: Authority, rules: Mapping[str, str] | None = None) -> Iterator[SecuredKafka]:
    """A broker with TLS, SCRAM, OAUTHBEARER (unsigned tokens) and an authorizer."""
    inner, outer, controller = free_ports(3)
    listeners = {"PLAINTEXT": inner, "SASL_SSL": outer, "CONTROLLER": controller}
    settings = {
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": ",".join(
            f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in listeners
        ),
        "sasl.enabled.mechanisms": f"{MECHANISM},OAUTHBEARER",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _SCRAM,
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": (
            f'{_SECURE}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
        "listener.name.sasl_ssl.ssl.keystore.location": str(authority.bundle("kafka")),
        "group.min.session.timeout.ms": "1000",
        **AUTHORIZER,
        **(rules or {}),
    }
    seat = Seat(1, {1: controller}, random_id())
    with KafkaServer(port=inner, settings=settings, seat=seat) as server:
        yield SecuredKafka(server, f"{HOST}:{inner}", f"{HOST}:{outer}", authority)


@dataclass
class SecuredRedis:
    """`server.url` is the open address, at which everybody may do everything; `url` the one with TLS."""

    server: ValkeyServer
    url: str
    authority: Authority

    def administrator(self) -> redis.Redis:
        return redis.Redis.from_url(self.server.url)

    def set_user(self, user: str, password: str, rules: Iterable[str]) -> None:
        with self.administrator() as client:
            client.execute_command("ACL", "SETUSER", user, "reset", "on", f">{password}", *rules)

    def variables(self, user: str, password: str) -> dict[str, str]:
        """The settings of a client that logs in as `user`."""
        return {
            "HURNET_REDIS_URL": self.url,
            "HURNET_REDIS_CA_FILE": str(self.authority.file),
            "HURNET_REDIS_USERNAME": user,
            "HURNET_REDIS_PASSWORD": password,
        }


@contextlib.contextmanager
def secured_redis(authority: Authority, name: str = "redis") -> Iterator[SecuredRedis]:
    """A Redis with TLS. (The Valkey that the tests bring along was built without.)"""
    needed("redis-server")
    (port,) = free_ports(1)
    certificate, key = authority.issue(name)
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(authority.file),
        "tls-auth-clients": "no",
    }
    with ValkeyServer(binary="redis-server", settings=settings) as server:
        yield SecuredRedis(server, f"rediss://{HOST}:{port}/0", authority)
