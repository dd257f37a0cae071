"""HURNET_PRIVACY_*: what is written of people's texts beside the places that need them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import Field, SecretStr, model_validator

from hurnet_stream.settings.secret_files import SectionWithSecrets

SECRET_LEAST: Final = 16
"""Characters. Fewer could be guessed one after the other."""


class PrivacySettings(SectionWithSecrets):
    """What may be written of people's texts beside the places that need them."""

    variables: ClassVar[str] = "HURNET_PRIVACY_"

    excerpts: bool = Field(
        True,
        description="Whether dead letters quote the records that they are about: the first bytes of key and "
        "value, and what is wrong in them. If not, a dead letter has the reason, the place, the size and the "
        "SHA-256 of the record, and logs have no messages of exceptions, since these may quote a text.",
    )
    key_secret: SecretStr | None = Field(
        None,
        description="What digests of record keys in the store are made with, so that nobody can try guesses "
        "of keys. At least 16 characters. Ingest needs it, the same for a store from its first text on.",
    )
    key_secret_file: Path | None = Field(None, description="A file with key_secret.")
    audit_questions: Literal["none", "digest", "text"] = Field(
        "none",
        description="What the topic HURNET_KAFKA_AUDIT has of questions: nothing, a digest by audit_secret, "
        "or the text.",
    )
    audit_secret: SecretStr | None = Field(
        None,
        description="What gateways sign with who asked, and responders check it. At least 16 characters, the "
        "same for all of them.",
    )
    audit_secret_file: Path | None = Field(None, description="A file with audit_secret.")

    @model_validator(mode="after")
    def _secrets_are_long(self) -> PrivacySettings:
        for name in self.secret_names():
            secret = self.current(name)
            if secret is not None and len(secret) < SECRET_LEAST:
                raise ValueError(f"HURNET_PRIVACY_{name.upper()} has fewer than {SECRET_LEAST} characters")
        return self
