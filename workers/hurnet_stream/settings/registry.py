"""HURNET_REGISTRY_*: how to reach the schema registry, if a topic needs one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from hurnet_stream.settings.secret_files import SectionWithSecrets
from hurnet_stream.settings.types import Duration, Unit


class RegistrySettings(SectionWithSecrets):
    """A registry that speaks as Confluent's does, as Karapace, Apicurio and Redpanda's do too."""

    variables: ClassVar[str] = "HURNET_REGISTRY_"

    url: str = Field(
        "",
        repr=False,
        description="Its address, as in https://registry:8081. Needed for avro, protobuf and json-schema.",
    )
    username: str | None = Field(None, description="The user's name, if it wants one.")
    password: SecretStr | None = Field(None, description="The user's password.")
    password_file: Path | None = Field(
        None, description="A file with the password, which is read again for each question."
    )
    token: SecretStr | None = Field(None, description="A bearer token in place of a user and a password.")
    token_file: Path | None = Field(
        None, description="A file with the token, which is read again for each question."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with the certificate of the authority that signed the registry's certificate. "
        "If it is not set, the authorities that this machine trusts are used.",
    )
    cert_file: Path | None = Field(
        None, description="PEM file with this client's certificate, if the registry asks for one."
    )
    key_file: Path | None = Field(None, description="PEM file with the private key of cert_file.")
    timeout: Duration = Field(5.0, ge=0.1, le=60, description="Longest wait for one reply, in seconds.")
    cache: Annotated[int, Unit("schemas")] = Field(
        1_000,
        ge=1,
        le=100_000,
        description="How many schemas are kept in memory. A schema's id never changes.",
    )
