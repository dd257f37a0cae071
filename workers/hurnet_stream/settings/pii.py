"""HURNET_PII_*: what tells of a person, and is replaced in texts before they are embedded and stored."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from hurnet_stream.core import pii
from hurnet_stream.settings.section import Section


class PiiSettings(Section):
    """What tells of a person, and is replaced in texts before they are embedded and stored."""

    variables: ClassVar[str] = "HURNET_PII_"

    kinds: str = Field(
        "",
        description="What ingest replaces in texts, answers and metadata, and responders then in questions: "
        "some of email, phone, card, iban and ip, with commas between them. Empty: nothing. A store "
        "remembers it with its first text.",
    )

    @field_validator("kinds")
    @classmethod
    def _are_known(cls, kinds: str) -> str:
        named = [kind.strip() for kind in kinds.split(",") if kind.strip()]
        if not set(named) <= set(pii.KINDS):
            raise ValueError(f"must be some of {', '.join(pii.KINDS)}, with commas between them")
        return ",".join(named)

    @property
    def rules(self) -> str:
        """What a store remembers of it; "" if nothing is replaced."""
        return pii.rules(self.kinds.split(",") if self.kinds else ())
