"""Settings: read once, frozen, each with its default and meaning (`hurnet settings` lists them).

From, in falling precedence: HURNET_SECTION_NAME in the environment (HURNET_KAFKA_BOOTSTRAP), a TOML file
(HURNET_CONFIG or --config; a table per section), the defaults below. Durations are in seconds. An empty value
is none. What is wrong is told by the name of its variable, wherever it was set.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from hurnet.core.solve.weights import MAX_RIDGE, NO_FEATURES
from hurnet.core.solve.window import PANES
from hurnet.errors import ConfigurationError
from hurnet.settings import checks as setting_checks
from hurnet.settings import environment, redaction
from hurnet.settings.explained import explained, variable, wrong
from hurnet.settings.types import Address, KernelFeatures, Port, Ridge, Seconds, Topic, TopicExpression

LEAST_HALF_LIFE = 60
"""Seconds. Brokers take timestamps up to an hour ahead (message.timestamp.after.max.ms), so that there are at
most 60 panes yet to come."""
MOST_ROWS = 1_000_000_000
"""Between two solves or checkpoints."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class KafkaSettings(_Section):
    """How to reach Kafka, and the names of the topics."""

    bootstrap: str = Field("127.0.0.1:9092", description="host:port, several separated by commas")
    cluster: str = Field(
        "",
        max_length=64,
        description="the cluster's id; no other is talked to. Empty: that of the context, or the first met",
    )
    texts: Topic = Field("texts", description="topic of text events")
    queries: Topic = Field("queries", description="topic of queries")
    answers: Topic = Field("answers", description="topic of answers without a reply-to header")
    dead_letters: Topic = Field("dead-letters", description="topic of records that could not be processed")
    partitions: int = Field(
        4, ge=1, le=4_096, description="partitions of topics that `hurnet topics` creates"
    )
    replication: int = Field(1, ge=1, le=16, description="replication factor of topics it creates")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="as in Kafka's clients"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="with SASL_*"
    )
    username: str | None = Field(None, description="with SASL_*")
    password: SecretStr | None = Field(None, description="with SASL_*")
    ca_file: Path | None = Field(
        None, description="PEM of the authority that signed the brokers' certificates"
    )
    cert_file: Path | None = Field(None, description="PEM of the client certificate (mutual TLS)")
    key_file: Path | None = Field(None, description="PEM of the client certificate's key")
    key_password: SecretStr | None = Field(None, description="of key_file")
    check_hostname: bool = Field(True, description="the broker's certificate must name its host")
    session_timeout: float = Field(
        10.0, ge=1, le=1_800, description="after which a silent group member is evicted"
    )
    request_timeout: float = Field(5.0, ge=0.1, le=300, description="for one request to a broker")


class RedisSettings(_Section):
    """How to reach Redis or Valkey. It should have appendonly yes, appendfsync always, noeviction and
    stream-node-max-entries 1."""

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="redis://, rediss:// (TLS), unix://PATH, or sentinel+redis(s)://HOST:PORT,HOST:PORT/SERVICE/DB",
    )
    username: str | None = Field(None, description="ACL user")
    password: SecretStr | None = Field(None, description="better here than in the URL")
    sentinel_username: str | None = Field(None, description="of the Sentinels, which have users of their own")
    sentinel_password: SecretStr | None = Field(None, description="of the Sentinels")
    ca_file: Path | None = Field(
        None, description="PEM of the authority that signed the server's certificate"
    )
    cert_file: Path | None = Field(None, description="PEM of the client certificate (mutual TLS)")
    key_file: Path | None = Field(None, description="PEM of the client certificate's key")
    prefix: str = Field("hurnet", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="first word of every key")
    timeout: float = Field(5.0, ge=0.05, le=300, description="for one command")


class EmbedderSettings(_Section):
    """The frozen embedder. Every worker on one context must use the same."""

    name: str = Field(
        "use+hash512",
        min_length=1,
        max_length=512,
        description="hash<dim>, use, st:<sentence-transformers model or folder>, joined by +",
    )


class IngestSettings(_Section):
    """The worker that appends texts to the context."""

    group: str = Field("", max_length=200, description="consumer group; empty: the prefix, then -ingest")
    batch: int = Field(256, ge=1, le=10_000, description="records per append and partition")
    poll: float = Field(0.5, ge=0, le=5, description="longest wait for records")
    skip_gap: bool = Field(
        False, description="go on where the topic no longer holds the next record (it is lost to the context)"
    )
    max_contexts: int = Field(64, ge=1, le=10_000, description="names of contexts; more are dead letters")
    dead_letters_in_a_row: int = Field(
        1_000,
        ge=1,
        le=1_000_000_000,
        description="more are an alarm: the worker says so, and is not ready while it lasts",
    )
    dead_letters_share: float = Field(
        0.5, gt=0, le=1, description="a larger share of the last dead_letters_window records is one, too"
    )
    dead_letters_window: int = Field(
        10_000, ge=1, le=1_000_000, description="records over which the share is taken"
    )
    dead_letters_stop: bool = Field(False, description="that alarm ends the worker")


class SolveSettings(_Section):
    """The solver: when it solves and how."""

    interval: Seconds = Field(5.0, description="solve at the latest this long after new pairs")
    rows: int = Field(10_000, ge=1, le=MOST_ROWS, description="or as soon as this many new pairs are in")
    ridge: Ridge | Literal["gcv"] = Field(0.1, description="lambda on unit vectors, or 'gcv' to choose it")
    features: KernelFeatures = Field(
        NO_FEATURES,
        description="kernel features: gaussian:2048[:width], laplace:..., arccosine:2048; for all workers",
    )
    half_life: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="pairs count half as much each time they get older by this, from 60 s up, and nothing "
        "after 8 times; 0: they don't age; for all workers",
    )
    intercept: bool = Field(False, description="a constant per answer beside the weights, free of the ridge")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field("auto", description="where to compute")
    checkpoint_interval: Seconds = Field(
        10.0, description="checkpoint at the latest this long after new pairs"
    )
    checkpoint_rows: int = Field(
        50_000, ge=1, le=MOST_ROWS, description="or as soon as this many new rows are in"
    )
    lease: Seconds = Field(
        10.0, gt=0, description="a solver silent for so long is replaced by one standing by"
    )
    patience: Seconds = Field(
        120.0,
        gt=0,
        description="a solve, or a part of loading or saving, may take so long; a solver that gets on with "
        "nothing for longer counts as silent",
    )

    @property
    def half_life_ms(self) -> int:
        """In whole milliseconds."""
        return round(self.half_life * 1000)

    @model_validator(mode="after")
    def _ageing_is_possible(self) -> SolveSettings:
        if 0 < self.half_life < LEAST_HALF_LIFE:
            raise ValueError(f"HURNET_SOLVE_HALF_LIFE must be at least {LEAST_HALF_LIFE} s, or 0")
        if self.half_life and self.features != NO_FEATURES:
            raise ValueError(
                "HURNET_SOLVE_HALF_LIFE and kernel features don't go together: the sums of these have no age"
            )
        if self.half_life and self.ridge == "gcv":
            raise ValueError(
                "HURNET_SOLVE_HALF_LIFE needs a fixed ridge: cross-validation counts old pairs as new ones"
            )
        least_share = 2.0 ** (PANES - 1)
        if self.half_life and self.ridge != "gcv" and self.ridge * least_share >= MAX_RIDGE:
            raise ValueError(
                f"HURNET_SOLVE_RIDGE must be below {MAX_RIDGE / least_share:g} with HURNET_SOLVE_HALF_LIFE"
            )
        return self


class ResponderSettings(_Section):
    """The worker that answers queries."""

    group: str = Field(
        "",
        max_length=200,
        description="consumer group, and with the instance the transactional id; empty: the prefix, then "
        "-responder",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="names this responder; each running one needs its own (default: the host's name)",
    )
    exactly_once: bool = Field(
        True, description="answers by Kafka transactions; false: at least once, faster"
    )
    batch: int = Field(64, ge=1, le=1_000, description="queries answered together at most")
    threads: int = Field(1, ge=1, le=256, description="that share a search over many rows, where it gains")
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu", description="where to search; on a GPU that takes 1 byte a dimension and row of its memory"
    )
    poll: float = Field(
        0.02, ge=0, le=5, description="longest wait for queries before looking for new entries"
    )
    threshold: float = Field(0.3, ge=0, le=1, description="combined score under which it abstains")
    p: float = Field(2.0, ge=1.1, le=8, description="similarity in the space lp: 2 is the cosine")
    wait: Seconds = Field(
        5.0, description="longest a query waits for its min_watermarks, whatever its own timeout_ms"
    )
    reply_topics: TopicExpression = Field(
        r"answers([._-].*)?",
        min_length=1,
        description="regular expression a reply-to topic must match (without look-around)",
    )
    transaction_deadline: float = Field(
        5.0, ge=0.1, le=900, description="for one transaction; then it is abandoned"
    )
    transaction_timeout: float = Field(
        10.0, ge=1, le=900, description="after which brokers abort an abandoned one"
    )


class MetricsSettings(_Section):
    """The HTTP server of /metrics, /livez and /readyz."""

    enabled: bool = Field(True, description="serve them")
    host: Address = Field("127.0.0.1", description="address to bind; 0.0.0.0 or :: in a container")
    port: Port = Field(0, description="0: a free one, told in the log")
    stall: Seconds = Field(
        30.0, gt=0, description="no turn of the loop, or no progress while behind, for so long is a stall"
    )
    ready_lag: int = Field(
        10_000, ge=0, le=1_000_000_000, description="records or rows behind at most to be ready"
    )


class LifecycleSettings(_Section):
    """Stopping and retrying."""

    drain: Seconds = Field(10.0, gt=0, description="to finish work in hand after SIGTERM")
    hang: Seconds = Field(
        120.0,
        ge=1,
        description="a turn of the loop that takes longer ends the process (exit code 70), with the stacks "
        "of its threads in the log",
    )
    start: Seconds = Field(
        1_800.0, ge=1, description="the same for the first turn, which connects and loads the embedder"
    )
    retry_first: Seconds = Field(
        0.1, gt=0, description="first wait after a transient error; doubles, with jitter"
    )
    retry_most: Seconds = Field(5.0, gt=0, description="longest wait between tries")
    give_up: Seconds = Field(
        300.0, description="transient errors without a success for so long end the worker"
    )


class LogSettings(_Section):
    """Logs go to standard error."""

    format: Literal["console", "json"] = Field("console", description="for people or for machines")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level shown")


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="HURNET_", env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="forbid"
    )

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    ingest: IngestSettings = IngestSettings()
    solve: SolveSettings = SolveSettings()
    responder: ResponderSettings = Field(default_factory=ResponderSettings)
    metrics: MetricsSettings = MetricsSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _groups_belong_to_the_prefix(self) -> Settings:
        """Two systems on one Kafka never share a group, hence partitions, unless they are told to."""
        for section, role in ((self.ingest, "ingest"), (self.responder, "responder")):
            if not section.group:
                named = section.model_copy(update={"group": f"{self.redis.prefix}-{role}"})
                object.__setattr__(self, role, named)
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
        """The environment beats the file (given as init values)."""
        return InitSettingsSource(settings_cls, _from_environment()), init_settings


def load(config: Path | None = None) -> Settings:
    """The settings in force. Raises `ConfigurationError` naming each wrong one and each unknown variable."""
    redaction.remember_environment(os.environ)
    config = config or (Path(path) if (path := os.environ.get("HURNET_CONFIG")) else None)
    if unknown := environment.variables(_known()).unknown:
        raise wrong(f"{name} is no setting{environment.meant(name.upper(), _known())}" for name in unknown)
    try:
        settings = Settings(**_read(config))
    except ValidationError as error:
        raise wrong(explained(error, _fields())) from None
    if problems := list(setting_checks.problems(settings)):
        raise wrong(problems)
    redaction.remember(settings)
    return settings


def ignored() -> list[str]:
    """HURNET_* variables that were passed over: without a value, or injected by Kubernetes."""
    return list(environment.variables(_known()).ignored)


def variables() -> list[tuple[str, str, str]]:
    """(environment variable, default, meaning) of every setting, in order."""
    rows = []
    for section, fields in _fields().items():
        for name, field in fields.items():
            default = "the host's name" if field.default_factory else _shown(field.default)
            rows.append((variable(section, name), default, field.description or ""))
    return rows


def _fields() -> dict[str, dict[str, FieldInfo]]:
    """By section and name."""
    return {
        section: cast(type[BaseModel], info.annotation).model_fields
        for section, info in Settings.model_fields.items()
    }


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _known() -> list[str]:
    return [*(name for name, _, _ in variables()), "HURNET_CONFIG"]


def _from_environment() -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, value in environment.variables(_known()).given.items():
        if name != "HURNET_CONFIG":
            _, section, field = name.lower().split("_", 2)
            sections.setdefault(section, {})[field] = value
    return sections


def _read(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        tables = tomllib.loads(config.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = f"can't read settings from {config} (--config or HURNET_CONFIG)"
        raise ConfigurationError(f"{reason}: {error}") from None
    return {
        section: {k: v for k, v in table.items() if v != ""} if isinstance(table, dict) else table
        for section, table in tables.items()
    }
