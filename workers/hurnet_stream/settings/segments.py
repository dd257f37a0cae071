"""HURNET_SEGMENTS_*: where old rows go that leave Redis, and how many stay."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Unit


class SegmentSettings(Section):
    """Sealed segments. The solver seals, and whoever reads the store needs the URL."""

    url: str = Field(
        "",
        max_length=2_000,
        description="Where rows that leave Redis go: a folder that all processes see, or an object store as "
        "in s3://BUCKET/PATH (needs the extra files). Credentials come as the store's own tools find them. "
        "Empty: all rows stay in Redis.",
    )
    keep_rows: Annotated[int, Unit("rows")] = Field(
        100_000, ge=0, le=10**12, description="How many of the newest rows of each shard stay in Redis."
    )
    keep_bytes: Annotated[int, Unit("bytes")] = Field(
        1 << 30,
        ge=0,
        le=1 << 50,
        description="The same in bytes of vectors and texts: whichever is less.",
    )
    rows: Annotated[int, Unit("rows")] = Field(
        65_536,
        ge=1,
        le=1_000_000,
        description="How many rows a file gets. It is full earlier at 128 MiB of vectors and texts.",
    )

    @field_validator("url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        if urlsplit(url).password:
            raise ValueError("must hold no credentials: the object store's own tools say where these stand")
        if url and not urlsplit(url).scheme and not url.startswith("/"):
            raise ValueError("must be an absolute path or a URL: processes may run in other folders")
        return url
