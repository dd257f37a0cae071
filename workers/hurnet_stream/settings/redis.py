"""HURNET_REDIS_*: how to reach the store, which is Redis or Valkey."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from hurnet_stream.settings.secret_files import SectionWithSecrets
from hurnet_stream.settings.types import Duration


class RedisSettings(SectionWithSecrets):
    """How to reach Redis or Valkey.

    The server should run with appendonly yes, appendfsync always, maxmemory-policy noeviction and
    stream-node-max-entries 1; workers warn if it does not.
    """

    variables: ClassVar[str] = "HURNET_REDIS_"

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Address of Redis or Valkey: redis://HOST:PORT/DB, rediss:// (the same with TLS), "
        "unix://PATH, sentinel+redis(s)://HOST:PORT,HOST:PORT/SERVICE/DB for a service behind Sentinels, or "
        "redis(s)+cluster://HOST:PORT,HOST:PORT for some nodes of a Redis Cluster, which name the others.",
    )
    url_file: Path | None = Field(
        None, description="A file with the URL, if that comes as one secret. Its password may change."
    )
    username: str | None = Field(None, description="The user's name, if the server has users (ACL).")
    password: SecretStr | None = Field(
        None, description="The password. Better here than in the URL, which tools like to print."
    )
    password_file: Path | None = Field(
        None, description="A file with the password, which is read again for each new connection."
    )
    sentinel_username: str | None = Field(
        None, description="The user's name for the Sentinels, which have users of their own."
    )
    sentinel_password: SecretStr | None = Field(None, description="The password for the Sentinels.")
    sentinel_password_file: Path | None = Field(
        None, description="A file with the password for the Sentinels."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with the certificate of the authority that signed the server's certificate. "
        "If it is not set, the authorities that this machine trusts are used.",
    )
    cert_file: Path | None = Field(
        None, description="PEM file with this client's certificate, if the server asks for one (mutual TLS)."
    )
    key_file: Path | None = Field(None, description="PEM file with the private key of cert_file.")
    key_password: SecretStr | None = Field(None, description="The password of key_file, if it has one.")
    key_password_file: Path | None = Field(None, description="A file with the password of key_file.")
    prefix: str = Field(
        "hurnet",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="First word of every key, which keeps apart several systems in one Redis. The names of "
        "the consumer groups begin with it, too.",
    )
    replicas_ack: int = Field(
        0,
        ge=0,
        le=8,
        description="How many replicas must have what was appended, deleted, erased or saved in a checkpoint "
        "before it counts (WAIT); 0: none. A failover to one of these then loses nothing.",
    )
    replicas_ack_timeout: Duration = Field(
        1.0,
        ge=0.001,
        le=60,
        description="Longest wait for these replicas, in seconds. If they are not there by then, the step is "
        "tried again.",
    )
    timeout: Duration = Field(
        5.0, ge=0.05, le=300, description="Longest wait for the reply to one command, in seconds."
    )
