"""Secrets in files: read at the start and anew for each connection, and told clearly if they can't be."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka.net.sasl import get_sasl_mechanism

from hurnet_stream.adapters.kafka.client.arguments import Credentials, client_arguments
from hurnet_stream.adapters.redis.connecting import connect
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings import redaction
from hurnet_stream.settings.cautions import cautions
from hurnet_stream.settings.secret_files import SECRET_BYTES_MAX
from hurnet_stream.settings.settings import KafkaSettings, RedisSettings, load

SCRAM = {
    "HURNET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "HURNET_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "HURNET_KAFKA_USERNAME": "me",
}


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes, mode: int = 0o600) -> Path:
        file = tmp_path / "secret"
        file.write_bytes(content)
        file.chmod(mode)
        return file

    return write


def given(monkeypatch: pytest.MonkeyPatch, **variables: str | Path) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_password_comes_from_a_file_without_its_line_end(
    secret: Any, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    given(monkeypatch, **SCRAM, HURNET_KAFKA_PASSWORD_FILE=secret(b" pa ss " + ending))
    assert load().kafka.current("password") == " pa ss "
    assert client_arguments(load().kafka)["sasl_plain_password"] == " pa ss "


@pytest.mark.parametrize(
    "name", ["KAFKA_PASSWORD", "KAFKA_KEY_PASSWORD", "KAFKA_TOKEN", "REDIS_PASSWORD", "REDIS_KEY_PASSWORD"]
)
def test_each_secret_may_be_in_a_file_but_not_in_two_places(
    secret: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given(monkeypatch, **{f"HURNET_{name}_FILE": secret(b"from-a-file")})
    group, _, field = name.lower().partition("_")
    assert getattr(load(), group).current(field) == "from-a-file"
    given(monkeypatch, **{f"HURNET_{name}": "from-the-environment"})
    with pytest.raises(ConfigurationError, match=f"HURNET_{name} and HURNET_{name}_FILE are both set"):
        load()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "holds several lines"),
        (b"nul\0", "holds several lines"),
        (b"\xff\xfe", "holds no UTF-8 text"),
        (b"x" * (SECRET_BYTES_MAX + 1), "is larger than 65,536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_told_and_not_shown(
    secret: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    file = secret(content)
    given(monkeypatch, HURNET_REDIS_PASSWORD_FILE=file)
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value).startswith(f"wrong setting: HURNET_REDIS_PASSWORD_FILE: {file} ")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HURNET_REDIS_PASSWORD_FILE=tmp_path / "none", HURNET_KAFKA_TOKEN_FILE=tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert f"HURNET_REDIS_PASSWORD_FILE: there is no file {tmp_path}/none" in str(refused.value)
    assert f"HURNET_KAFKA_TOKEN_FILE: can't read {tmp_path}: Is a directory" in str(refused.value)


def test_a_file_that_others_may_read_is_a_caution(secret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HURNET_REDIS_PASSWORD_FILE=secret(b"pw", 0o600))
    assert not [each for each in cautions(load()) if "_FILE" in each]
    for mode in (0o644, 0o602):
        secret(b"pw", mode)
        (caution,) = [each for each in cautions(load()) if "_FILE" in each]
        assert "HURNET_REDIS_PASSWORD_FILE: every user of this machine" in caution


def test_a_renewed_password_is_used_by_the_next_connection(secret: Any) -> None:
    kafka = KafkaSettings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        username="me",
        password_file=secret(b"one"),
    )
    redis = RedisSettings(username="me", password_file=secret(b"one"))
    provider = connect(redis).client.connection_pool.connection_kwargs["credential_provider"]
    credentials = Credentials(kafka)
    assert credentials.now()["sasl_plain_password"] == "one"
    assert provider.get_credentials() == ("me", "one")
    secret(b"a-second-password\n")
    assert credentials.now()["sasl_plain_password"] == "a-second-password"
    assert provider.get_credentials() == ("me", "a-second-password")
    assert redaction.redacted("a-second-password") == redaction.HIDDEN
    secret(b"")  # as while it is written: the last one that is known stays
    assert credentials.now()["sasl_plain_password"] == "one"


def test_only_the_latest_of_renewed_secrets_are_kept_to_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1_000):
        redaction.remember_renewed(f"renewed-{number:04}")
    assert redaction.redacted("renewed-0999") == redaction.HIDDEN
    assert len(redaction._renewed) == redaction.RENEWED_MAX


def test_the_url_of_redis_may_be_the_secret(secret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HURNET_REDIS_URL_FILE=secret(b"redis://me:one@store:7/3\n"))
    settings = load().redis
    assert settings.url == "redis://me:one@store:7/3"
    provider = connect(settings).client.connection_pool.connection_kwargs["credential_provider"]
    assert provider.get_credentials() == ("me", "one")
    secret(b"redis://me:two@store:7/3\n")
    assert provider.get_credentials() == ("me", "two")


def test_without_a_password_none_is_sent() -> None:
    provider = connect(RedisSettings()).client.connection_pool.connection_kwargs["credential_provider"]
    assert not provider.get_credentials()


def test_the_path_of_a_secret_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    redaction.remember_environment(
        {"HURNET_KAFKA_PASSWORD_FILE": "/run/secrets/kafka", "HURNET_KAFKA_TOKEN": "t0ken"}
    )
    assert redaction.redacted("/run/secrets/kafka t0ken") == "/run/secrets/kafka (hidden)"


def test_a_tls_context_is_made_anew_if_its_files_change_and_only_then(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, certificate = tmp_path / "ca.pem", tmp_path / "me.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("me").private_key_and_cert_chain_pem.write_to_path(certificate)
    credentials = Credentials(KafkaSettings(security_protocol="SSL", ca_file=ca, cert_file=certificate))
    first = credentials.now()["ssl_context"]
    assert isinstance(first, ssl.SSLContext)
    assert credentials.now()["ssl_context"] is first
    certificate.write_text("half a fi")
    assert credentials.now()["ssl_context"] is first
    authority.issue_cert("me").private_key_and_cert_chain_pem.write_to_path(certificate)
    assert credentials.now()["ssl_context"] is not first


def test_a_token_is_read_anew_whenever_it_is_asked_for(secret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        HURNET_KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        HURNET_KAFKA_SASL_MECHANISM="OAUTHBEARER",
        HURNET_KAFKA_TOKEN_FILE=secret(b"token-one"),
    )
    arguments = client_arguments(load().kafka)
    dialogue = get_sasl_mechanism("OAUTHBEARER")(host="broker", **arguments)
    assert b"auth=Bearer token-one\x01" in dialogue.auth_bytes()
    secret(b"token-two")
    assert b"auth=Bearer token-two\x01" in dialogue.auth_bytes()


def test_a_mechanism_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HURNET_KAFKA_SECURITY_PROTOCOL="SASL_SSL", HURNET_KAFKA_SASL_MECHANISM="OAUTHBEARER")
    with pytest.raises(ConfigurationError, match=r"_TOKEN or HURNET_KAFKA_TOKEN_FILE$"):
        load()
    given(monkeypatch, **SCRAM)
    with pytest.raises(ConfigurationError, match=r"_PASSWORD or HURNET_KAFKA_PASSWORD_FILE$"):
        load()


def test_aws_logs_in_by_what_its_sdk_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        HURNET_KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        HURNET_KAFKA_SASL_MECHANISM="AWS_MSK_IAM",
        AWS_ACCESS_KEY_ID="an-id",
        AWS_SECRET_ACCESS_KEY="a-key",
        AWS_DEFAULT_REGION="eu-west-1",
    )
    arguments = client_arguments(load().kafka)
    dialogue = get_sasl_mechanism("AWS_MSK_IAM")(host="b-1.example", **arguments)
    signed = json.loads(dialogue.auth_bytes())
    assert signed["host"] == "b-1.example"
    assert signed["x-amz-credential"].startswith("an-id/")
    assert signed["x-amz-credential"].endswith("/eu-west-1/kafka-cluster/aws4_request")
    given(monkeypatch, HURNET_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT")
    with pytest.raises(ConfigurationError, match="AWS_MSK_IAM needs HURNET_KAFKA_SECURITY_PROTOCOL SASL_SSL"):
        load()


def test_aws_without_its_extra_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HURNET_KAFKA_SECURITY_PROTOCOL="SASL_SSL", HURNET_KAFKA_SASL_MECHANISM="AWS_MSK_IAM")
    monkeypatch.setattr("hurnet_stream.settings.checks.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="needs the extra msk"):
        load()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HURNET_REDIS_URL": "redis://:pw@store"}, ["HURNET_REDIS_URL sends the password"]),
        ({"HURNET_REDIS_URL": "rediss://:pw@store"}, []),
        ({"HURNET_REDIS_URL": "redis://:pw@[::1]"}, []),
        (
            {
                "HURNET_REDIS_URL": "sentinel+redis://one,two/main",
                "HURNET_REDIS_SENTINEL_PASSWORD": "pw",
            },
            ["the Sentinels' password"],
        ),
        (
            {"HURNET_KAFKA_BOOTSTRAP": "127.0.0.1:1,broker:9092", "HURNET_KAFKA_SASL_MECHANISM": "PLAIN"},
            ["sends the password and all texts unencrypted"],
        ),
        (
            {"HURNET_KAFKA_BOOTSTRAP": "broker:9092", "HURNET_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
            ["SASL_PLAINTEXT sends all texts unencrypted"],
        ),
        (
            {
                "HURNET_KAFKA_BOOTSTRAP": "broker:9092",
                "HURNET_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
                "HURNET_KAFKA_TOKEN": "token",
            },
            ["sends the token and all texts unencrypted"],
        ),
        (
            {
                "HURNET_KAFKA_BOOTSTRAP": "broker:9092",
                "HURNET_KAFKA_SASL_MECHANISM": "PLAIN",
                "HURNET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "HURNET_KAFKA_CHECK_HOSTNAME": "false",
            },
            ["HURNET_KAFKA_CHECK_HOSTNAME is false"],
        ),
    ],
)
def test_what_would_travel_in_the_clear_is_a_caution(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: list[str]
) -> None:
    if "HURNET_KAFKA_BOOTSTRAP" in variables:
        given(monkeypatch, **SCRAM, HURNET_KAFKA_PASSWORD="pw")
        given(monkeypatch, HURNET_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT")
    given(monkeypatch, **variables)
    found = list(cautions(load()))
    assert len(found) == len(said), found
    for each, part in zip(found, said, strict=True):
        assert part in each
