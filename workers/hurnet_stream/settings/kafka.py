"""HURNET_KAFKA_*: how to reach Kafka, and what its topics are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from hurnet_stream.settings.secret_files import SectionWithSecrets
from hurnet_stream.settings.types import TOPIC_LENGTH_MAX, Duration, Topic, Unit, is_topic


class KafkaSettings(SectionWithSecrets):
    """How to reach Kafka, and the names of the topics."""

    variables: ClassVar[str] = "HURNET_KAFKA_"

    bootstrap: str = Field(
        "127.0.0.1:9092",
        description="Addresses of some of Kafka's brokers: host:port, separated by commas. The others are "
        "learned from these.",
    )
    cluster: str = Field(
        "",
        max_length=64,
        description="The id of the Kafka cluster; a worker refuses to talk to any other. If this is empty, "
        "it is the cluster that the store was filled from, or the first one met.",
    )
    texts: Topic = Field("texts", description="The topic that texts are read from.")
    queries: Topic = Field("queries", description="The topic that questions are read from.")
    answers: Topic = Field(
        "answers", description="The topic for the answers to questions that have no reply-to header."
    )
    feedback: Topic = Field("feedback", description="The topic that verdicts on answers are read from.")
    dead_letters: Topic = Field(
        "dead-letters", description="The topic that names the records that could not be processed, and why."
    )
    canary_answers: str = Field(
        "",
        max_length=TOPIC_LENGTH_MAX,
        description="The topic for the answers to the canary's questions. If it is empty: the topic of "
        "answers, then -canary.",
    )
    audit: str = Field(
        "",
        max_length=TOPIC_LENGTH_MAX,
        description="The topic that tells who asked, when and in which context, with each answer's receipt. "
        "If it is empty, there is none.",
    )
    partitions: Annotated[int, Unit("partitions")] = Field(
        4, ge=1, le=4_096, description="How many partitions a topic gets that `hurnet topics --create` makes."
    )
    replication: Annotated[int, Unit("copies")] = Field(
        1,
        ge=1,
        le=16,
        description="How many brokers keep a copy of a topic that `hurnet topics --create` makes. Use 3 in "
        "production.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How to talk to the brokers, as in other Kafka clients: encrypted (SSL), with a password "
        "(SASL), both or neither.",
    )
    sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None
    ) = Field(
        None,
        description="How to log in. SASL needs it. PLAIN and SCRAM take a user and a password, OAUTHBEARER a "
        "token; AWS_MSK_IAM takes what the AWS SDK finds, and needs the extra msk.",
    )
    username: str | None = Field(None, description="The user's name, for PLAIN and SCRAM.")
    password: SecretStr | None = Field(None, description="The user's password, for PLAIN and SCRAM.")
    password_file: Path | None = Field(
        None, description="A file with the password, which is read again for each new connection."
    )
    token: SecretStr | None = Field(
        None, description="The token for OAUTHBEARER. It can't be renewed: prefer token_file."
    )
    token_file: Path | None = Field(
        None,
        description="A file with the token for OAUTHBEARER, which something else keeps fresh. It is read "
        "again for each new connection, and whenever the brokers want a new one.",
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with the certificate of the authority that signed the brokers' certificates. "
        "If it is not set, the authorities that this machine trusts are used.",
    )
    cert_file: Path | None = Field(
        None, description="PEM file with this client's certificate, if the brokers ask for one (mutual TLS)."
    )
    key_file: Path | None = Field(None, description="PEM file with the private key of cert_file.")
    key_password: SecretStr | None = Field(None, description="The password of key_file, if it has one.")
    key_password_file: Path | None = Field(None, description="A file with the password of key_file.")
    check_hostname: bool = Field(
        True, description="Whether a broker's certificate must name the host that was asked for."
    )
    session_timeout: Duration = Field(
        10.0,
        ge=1,
        le=1_800,
        description="Seconds without a sign of life after which Kafka gives a worker's partitions to others.",
    )
    request_timeout: Duration = Field(
        5.0, ge=0.1, le=300, description="Longest wait for a broker's reply to one request, in seconds."
    )

    @model_validator(mode="after")
    def _answers_of_the_canary(self) -> KafkaSettings:
        if not self.canary_answers:
            # The model is frozen for everybody else.
            object.__setattr__(self, "canary_answers", f"{self.answers}-canary")
        if not is_topic(self.canary_answers):
            raise ValueError(
                "HURNET_KAFKA_CANARY_ANSWERS is not a topic's name: 1 to 249 of A-Z a-z 0-9 . _ -"
            )
        if self.audit and not is_topic(self.audit):
            raise ValueError("HURNET_KAFKA_AUDIT is not a topic's name: 1 to 249 of A-Z a-z 0-9 . _ -")
        return self
