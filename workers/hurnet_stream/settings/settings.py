"""All settings together: read once, frozen.

A value is taken from the environment (HURNET_SECTION_NAME, as in HURNET_KAFKA_BOOTSTRAP), otherwise from a
TOML file (named by HURNET_CONFIG or --config, with a table for each section), otherwise it is the default. An
empty value counts as not set. Durations are in seconds. Errors name the environment variable of a setting,
wherever the value came from, and never repeat the value.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from hurnet_schemas.base import ContextName
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings import checks, environment, redaction
from hurnet_stream.settings.canary import CanarySettings
from hurnet_stream.settings.contexts import ContextSettings
from hurnet_stream.settings.dask import DaskSettings
from hurnet_stream.settings.explained import explained, variable, wrong
from hurnet_stream.settings.feedback import FeedbackSettings
from hurnet_stream.settings.gateway import GatewaySettings
from hurnet_stream.settings.ingest import IngestSettings
from hurnet_stream.settings.kafka import KafkaSettings
from hurnet_stream.settings.paper import PaperSettings
from hurnet_stream.settings.pii import PiiSettings
from hurnet_stream.settings.privacy import PrivacySettings
from hurnet_stream.settings.process import EmbedderSettings, LifecycleSettings, LogSettings, MetricsSettings
from hurnet_stream.settings.redis import RedisSettings
from hurnet_stream.settings.registry import RegistrySettings
from hurnet_stream.settings.reshard import ReshardSettings
from hurnet_stream.settings.responder import ResponderSettings
from hurnet_stream.settings.segments import SegmentSettings
from hurnet_stream.settings.slices import SliceSettings
from hurnet_stream.settings.solve import SolveSettings
from hurnet_stream.settings.terminal import TerminalSettings
from hurnet_stream.settings.topics import TopicSettings
from hurnet_stream.settings.traces import TracesSettings
from hurnet_stream.settings.types import Topic

__all__ = [
    "CanarySettings",
    "ContextSettings",
    "DaskSettings",
    "EmbedderSettings",
    "FeedbackSettings",
    "GatewaySettings",
    "IngestSettings",
    "KafkaSettings",
    "LifecycleSettings",
    "LogSettings",
    "MetricsSettings",
    "PaperSettings",
    "PiiSettings",
    "PrivacySettings",
    "RedisSettings",
    "RegistrySettings",
    "ReshardSettings",
    "ResponderSettings",
    "SegmentSettings",
    "Settings",
    "SliceSettings",
    "SolveSettings",
    "TerminalSettings",
    "TopicSettings",
    "TracesSettings",
    "ignored",
    "load",
]

CONFIG = "HURNET_CONFIG"
"""Names the TOML file."""
FILE_MOST = 16 << 20
"""Characters of a settings file. As many topics and contexts as there may be take less."""
TOPICS_MOST = 1_000
CONTEXTS_MOST = 10_000


class Settings(BaseSettings):
    """All settings, by section."""

    model_config = SettingsConfigDict(
        env_prefix="HURNET_", env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="forbid"
    )

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    ingest: IngestSettings = IngestSettings()
    dask: DaskSettings = DaskSettings()
    solve: SolveSettings = SolveSettings()
    segments: SegmentSettings = SegmentSettings()
    responder: ResponderSettings = Field(default_factory=ResponderSettings)
    slices: SliceSettings = SliceSettings()
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)
    reshard: ReshardSettings = Field(default_factory=ReshardSettings)
    canary: CanarySettings = CanarySettings()
    gateway: GatewaySettings = GatewaySettings()
    metrics: MetricsSettings = MetricsSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    log: LogSettings = LogSettings()
    traces: TracesSettings = TracesSettings()
    terminal: TerminalSettings = TerminalSettings()
    privacy: PrivacySettings = PrivacySettings()
    pii: PiiSettings = PiiSettings()
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    paper: PaperSettings = PaperSettings()
    topics: dict[Topic, TopicSettings] = Field(default_factory=dict, max_length=TOPICS_MOST)
    contexts: dict[ContextName, ContextSettings] = Field(default_factory=dict, max_length=CONTEXTS_MOST)

    @model_validator(mode="after")
    def _groups_belong_to_the_prefix(self) -> Settings:
        """Two systems on one Kafka never share a group, hence partitions, unless they are told to."""
        for role in ("ingest", "responder", "feedback"):
            section = getattr(self, role)
            if not section.group:
                named = section.model_copy(update={"group": f"{self.redis.prefix}-{role}"})
                object.__setattr__(self, role, named)  # the model is frozen for everybody else
        return self

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment beats the file, whose values are given as arguments."""
        return InitSettingsSource(settings_cls, from_environment()), init_settings


def load(config: Path | None = None) -> Settings:
    """The settings in force. Raises `ConfigurationError`, which names each wrong one and each unknown
    variable."""
    redaction.remember_environment(os.environ)
    known = _known()
    if unknown := environment.variables(known).unknown:
        raise wrong(f"{name} is no setting{environment.meant(name.upper(), known)}" for name in unknown)
    try:
        settings = Settings(**from_file(config or config_file()))
    except ValidationError as error:
        raise wrong(explained(error, fields(), tables())) from None
    if problems := list(checks.problems(settings)):
        raise wrong(problems)
    redaction.remember(settings)
    return settings


def ignored() -> list[str]:
    """HURNET_* variables that were passed over: without a value, or injected by Kubernetes."""
    return list(environment.variables(_known()).ignored)


def fields() -> dict[str, dict[str, FieldInfo]]:
    """Every setting, by section and name, in the order of `Settings`. `tables` are not among them."""
    return {
        section: cast(type[BaseModel], info.annotation).model_fields
        for section, info in Settings.model_fields.items()
        if section not in tables()
    }


def tables() -> dict[str, dict[str, FieldInfo]]:
    """The settings of one topic and of one context, of which the settings file has a table each."""
    return {"topics": TopicSettings.model_fields, "contexts": ContextSettings.model_fields}


def config_file() -> Path | None:
    """The settings file that HURNET_CONFIG names."""
    path = os.environ.get(CONFIG)
    return Path(path) if path else None


def from_environment() -> dict[str, dict[str, str]]:
    """What the environment sets, by section and name."""
    sections: dict[str, dict[str, str]] = {}
    for name, value in environment.variables(_known()).given.items():
        if name != CONFIG:
            _, section, field = name.lower().split("_", 2)
            sections.setdefault(section, {})[field] = value
    return sections


def text_of(config: Path) -> str:
    """The text of a settings file. Raises `OSError`, and `ValueError` if it is no UTF-8 or too long."""
    with config.open(encoding="utf-8") as file:
        text = file.read(FILE_MOST + 1)
    if len(text) > FILE_MOST:
        raise ValueError(f"it is longer than {FILE_MOST:,} characters")
    return text


def from_file(config: Path | None) -> dict[str, Any]:
    """What a settings file sets, by section and name. Raises `ConfigurationError` if it can't be read."""
    if config is None:
        return {}
    try:
        tables = tomllib.loads(text_of(config))
    except (OSError, ValueError) as error:
        reason = f"can't read settings from {config} (--config or HURNET_CONFIG)"
        raise ConfigurationError(f"{reason}: {error}") from None
    return {
        section: {k: v for k, v in table.items() if v != ""} if isinstance(table, dict) else table
        for section, table in tables.items()
    }


def _known() -> list[str]:
    """The names of all variables."""
    return [*(variable(section, name) for section, group in fields().items() for name in group), CONFIG]
