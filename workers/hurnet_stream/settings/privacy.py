"""HURNET_PRIVACY_*: what is written of people's texts beside the places that need them."""

from __future__ import annotations

from pydantic import Field

from hurnet_stream.settings.section import Section


class PrivacySettings(Section):
    """What may be written of people's texts beside the places that need them."""

    excerpts: bool = Field(
        True,
        description="Whether dead letters quote the records that they are about: the first bytes of key and "
        "value, and what is wrong in them. If not, a dead letter has the reason, the place, the size and the "
        "SHA-256 of the record, and logs have no messages of exceptions, since these may quote a text.",
    )
