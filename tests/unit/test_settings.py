"""Settings: precedence, clear errors, secrets that stay secret."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings import listing, settings
from hurnet_stream.settings.cautions import cautions
from hurnet_stream.settings.types import matches
from tests.secured import Authority


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HURNET_")]:
        monkeypatch.delenv(name)


def test_the_environment_beats_the_file_and_the_file_beats_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text('[kafka]\nbootstrap = "file:1"\ntexts = "from-file"\n[solve]\nridge = "gcv"\n')
    monkeypatch.setenv("HURNET_CONFIG", str(file))
    monkeypatch.setenv("HURNET_KAFKA_BOOTSTRAP", "environment:1")
    loaded = settings.load()
    assert loaded.kafka.bootstrap == "environment:1"
    assert loaded.kafka.texts == "from-file"
    assert loaded.solve.ridge == "gcv"
    assert loaded.kafka.queries == "queries"


WRONG = {
    "HURNET_KAFKA_TEXTS": ["no spaces", "..", "x" * 250, "queries", "täxte"],
    "HURNET_KAFKA_BOOTSTRAP": [
        "kafka",
        "kafka:0",
        "kafka:70000",
        "::1:9092",
        "[::1:9092",
        "[x]:1",
        "a:1,b",
        ",",
    ],
    "HURNET_KAFKA_PARTITIONS": ["0", "1.5", "many"],
    "HURNET_KAFKA_SECURITY_PROTOCOL": ["TLS", "SASL_SSL"],
    "HURNET_KAFKA_CA_FILE": ["/no/such.pem", "/"],
    "HURNET_KAFKA_SESSION_TIMEOUT": ["0", "nan", "inf", "-1", "1e9"],
    "HURNET_KAFKA_REQUEST_TIMEOUT": ["0", "nan"],
    "HURNET_REDIS_URL": [
        *(
            "localhost",
            "http://localhost",
            "redis://h:x/0",
            "redis://h:0",
            "redis://h/zero",
            "redis://h/0?timeout=1",
        ),
        *(
            "redis://a:1,b:2/0",
            "unix://",
            "unix://socket",
            "sentinel+redis://a:1/",
            "sentinel+redis://",
            "redis://[",
        ),
    ],
    "HURNET_REDIS_KEY_FILE": ["/no/such.pem"],
    "HURNET_REDIS_SENTINEL_PASSWORD": ["for nobody"],
    "HURNET_REDIS_TIMEOUT": ["0", "inf"],
    "HURNET_REDIS_PREFIX": ["a:b"],
    "HURNET_EMBEDDER_NAME": ["hash0", "hash100000", "used", "st:", "use+", "+"],
    "HURNET_INGEST_BATCH": ["0"],
    "HURNET_INGEST_EMBED_ON": ["ray", "dask"],
    "HURNET_DASK_SCHEDULER": ["host:8786", "http://host:8786", "tls://host", "tcp://a:1,b:2", "tls://h:1/x"],
    "HURNET_DASK_TIMEOUT": ["0", "nan", "3601"],
    "HURNET_INGEST_POLL": ["0", "nan", "60"],
    "HURNET_INGEST_SKIP_GAP": ["perhaps"],
    "HURNET_INGEST_GROUP": ["hurnet-responder", "g" * 201],
    "HURNET_INGEST_DEAD_LETTERS_WINDOW": ["0", "1" + "0" * 30],
    "HURNET_SOLVE_ROWS": ["0", "1" + "0" * 30],
    "HURNET_SOLVE_RIDGE": ["abc"],
    "HURNET_PAPER_FEATURES": ["gaussian:2048:0", "gaussian:100"],
    "HURNET_SOLVE_HALF_LIFE": ["59", "nan"],
    "HURNET_SOLVE_INTERVAL": ["nan", "-1"],
    "HURNET_SOLVE_LEASE": ["0", "0.5"],
    "HURNET_PAPER_P": ["1", "nan"],
    "HURNET_RESPONDER_DEVICE": ["mps"],
    "HURNET_RESPONDER_POLL": ["0"],
    "HURNET_RESPONDER_REPLY_TOPICS": ["(", "a)|(b", "*", r"(?=a)b", r"(a)\1", "a{1,9999}{1,9999}", "a" * 501],
    "HURNET_RESPONDER_TRANSACTION_DEADLINE": ["0", "10"],
    "HURNET_RESPONDER_TRANSACTION_TIMEOUT": ["5", "1000"],
    "HURNET_METRICS_HOST": ["a b", "http://x", "a..b", "a" * 64],
    "HURNET_METRICS_PORT": ["65536", "http"],
    "HURNET_METRICS_STALL": ["0", "0.1"],
    "HURNET_LIFECYCLE_DRAIN": ["0"],
    "HURNET_LIFECYCLE_RETRY_FIRST": ["0", "1e-9", "6"],
    "HURNET_LOG_LEVEL": ["loud"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_refused_in_one_line_by_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^wrong settings?:.*{name}"):
        settings.load()


def test_a_dask_cluster_over_tls_needs_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("ingest")
    monkeypatch.setenv("HURNET_INGEST_EMBED_ON", "dask")
    monkeypatch.setenv("HURNET_DASK_SCHEDULER", "tls://dask:8786")
    monkeypatch.setenv("HURNET_DASK_CA_FILE", str(authority.file))
    monkeypatch.setenv("HURNET_DASK_CERT_FILE", str(certificate))
    with pytest.raises(ConfigurationError, match="HURNET_DASK_KEY_FILE"):
        settings.load()
    monkeypatch.setenv("HURNET_DASK_KEY_FILE", str(key))
    assert not list(cautions(settings.load()))
    monkeypatch.setenv("HURNET_DASK_TIMEOUT", "120")
    with pytest.raises(ConfigurationError, match="HURNET_LIFECYCLE_HANG"):
        settings.load()
    monkeypatch.delenv("HURNET_DASK_TIMEOUT")
    monkeypatch.setenv("HURNET_DASK_SCHEDULER", "tcp://dask:8786")
    with pytest.raises(ConfigurationError, match="HURNET_DASK_CA_FILE, and no other"):
        settings.load()
    for name in ("CA", "CERT", "KEY"):
        monkeypatch.delenv(f"HURNET_DASK_{name}_FILE")
    assert any("HURNET_DASK_SCHEDULER" in caution for caution in cautions(settings.load()))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HURNET_KAFKA_BOOTSTRAPS", "HURNET_KAFKA_BOOTSTRAP"),
        ("HURNET_RESPONDER_REPLY_TOPIC", "HURNET_RESPONDER_REPLY_TOPICS"),
        ("HURNET_REDIS_PASWORD", "HURNET_REDIS_PASSWORD"),
        ("HURNET_METRIC_PORT", "HURNET_METRICS_PORT"),
        ("hurnet_solve_ridges", "HURNET_SOLVE_RIDGE"),
        ("HURNET_METRICS_PORTS", "HURNET_METRICS_PORT"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_what_was_meant(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hush")
    said = f"{name} is no setting; did you mean {meant}?"
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        settings.load()
    assert "hush" not in str(caught.value)


def links(
    service: str, address: str = "10.0.0.1", port: int = 9090, protocol: str = "tcp"
) -> Mapping[str, str]:
    """What the kubelet sets for a Service."""
    name = service.upper().replace("-", "_")
    pair = f"{name}_PORT_{port}_{protocol.upper()}"
    shown = f"[{address}]" if ":" in address else address
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_HTTP_METRICS": str(port),
        f"{name}_PORT": f"{protocol}://{shown}:{port}",
        pair: f"{protocol}://{shown}:{port}",
        f"{pair}_PROTO": protocol,
        f"{pair}_PORT": str(port),
        f"{pair}_ADDR": address,
    }


@pytest.mark.parametrize(
    "service", ["hurnet", "hurnet-redis", "hurnet-metrics", "hurnet-kafka-0", "hurnet-log-format"]
)
@pytest.mark.parametrize("kind", [{}, {"address": "fd00::1", "protocol": "udp"}, {"protocol": "sctp"}])
def test_what_kubernetes_injects_is_passed_over(
    service: str, kind: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = links(service, **kind)  # type: ignore[arg-type]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert settings.load() == settings.Settings()
    assert settings.load().metrics.port == 0
    assert settings.ignored() == sorted(given)


def test_a_variable_without_a_value_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in listing.settings()[0]:
        monkeypatch.setenv(setting.variable, "")
    monkeypatch.setenv("HURNET_CONFIG", "")
    assert settings.load().kafka == settings.KafkaSettings()
    file = tmp_path / "hurnet.toml"
    file.write_text('[redis]\npassword = ""\nprefix = "mine"\n')
    monkeypatch.setenv("HURNET_REDIS_PREFIX", "")
    assert settings.load(file).redis.password is None
    assert settings.load(file).redis.prefix == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[kafka]\ntxts = 'a'", "txts of [kafka] in the settings file is no setting; did you mean texts?"),
        ("[kafak]\ntexts = 'a'", "[kafak] in the settings file is no section; did you mean kafka?"),
        ("kafka = 3", "[kafka] in the settings file must be a table"),
        ("[kafka]\ntexts = 3", "HURNET_KAFKA_TEXTS: "),
        ("[redis]\npassword = 3", "HURNET_REDIS_PASSWORD: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        settings.load(file)


def test_files_of_tls_must_be_what_they_are_given_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    monkeypatch.setenv("HURNET_KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("HURNET_REDIS_URL", "rediss://:hush@redis:6379/0")
    for name in ("KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE", "REDIS_CA_FILE", "REDIS_CERT_FILE"):
        with monkeypatch.context() as only:
            only.setenv(f"HURNET_{name}", str(junk))
            with pytest.raises(ConfigurationError, match=f"HURNET_{name}") as caught:
                settings.load()
            assert "hush" not in str(caught.value)


def test_no_expression_for_reply_topics_takes_long() -> None:
    name = "a" * 249
    for expression in ("(a+)+b", "(a|a)*b", "(a|aa)+$b", "([a-z]+)*[0-9]", "((a{0,99}){0,99})b"):
        began = time.perf_counter()
        assert not matches(expression, name)
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("answers", True),
        ("answers-me", True),
        ("answersme", False),
        ("my-answers", False),
        ("answers\n", False),
    ],
)
def test_an_expression_describes_the_whole_name(name: str, fits: bool) -> None:
    assert matches(r"answers([._-].*)?", name) is fits
    assert not matches("a|b", "ab")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"METRICS_STALL": "5.5"}, ""),
        ({"METRICS_STALL": "4"}, "HURNET_METRICS_STALL is not more than HURNET_"),
        ({"LIFECYCLE_DRAIN": "1"}, "HURNET_LIFECYCLE_DRAIN is less than"),
        (
            {
                "FEEDBACK_TRANSACTION_DEADLINE": "40",
                "FEEDBACK_TRANSACTION_TIMEOUT": "60",
                "METRICS_STALL": "99",
            },
            "less than HURNET_FEEDBACK_TRANSACTION_DEADLINE: a feedback worker",
        ),
        ({"KAFKA_ANSWERS": "replies"}, "does not describe HURNET_KAFKA_ANSWERS"),
        ({"REDIS_URL": "redis://:hush@store"}, "HURNET_REDIS_URL sends the password"),
        (
            {"REDIS_URL": "sentinel+redis://a/b", "REDIS_PASSWORD": "hush"},
            "HURNET_REDIS_URL sends the password",
        ),
        ({"REDIS_URL": "redis://:hush@127.0.0.1"}, ""),
        ({"REDIS_URL": "rediss://:hush@store"}, ""),
        ({"REDIS_URL": "unix://:hush@/run/s"}, ""),
    ],
)
def test_what_is_hardly_meant_is_a_warning(
    given: Mapping[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"HURNET_{name}", value)
    warnings = list(cautions(settings.load()))
    assert [warning for warning in warnings if said in warning] == warnings
    assert bool(warnings) == bool(said)
    assert "hush" not in "".join(warnings)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        settings.load(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[kafka")
    with pytest.raises(ConfigurationError, match=r"broken\.toml"):
        settings.load(broken)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HURNET_REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("HURNET_KAFKA_PASSWORD", "hunter2")
    loaded = settings.load()
    monkeypatch.setenv("HURNET_REDIS_URL", "redis://:hunter2@h/0")
    assert "hunter2" not in repr(loaded) + repr(settings.load())
    monkeypatch.setenv("HURNET_KAFKA_SASL_MECHANISM", "hunter2")
    monkeypatch.setenv("HURNET_REDIS_URL", "redis://:hunter2@h/zero")
    with pytest.raises(ConfigurationError) as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed, problem = listing.settings()
    assert len({setting.variable for setting in listed}) == len(listed) > 50
    assert all(setting.meaning.endswith(".") for setting in listed), "a whole sentence"
    for setting in listed:
        said = re.search(r"\bseconds\b", setting.meaning, re.IGNORECASE)
        assert (setting.unit == "seconds") == bool(said), setting.variable
    assert problem == ""


def test_groups_and_transactional_ids_belong_to_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two systems on one Kafka would else share the partitions, and each get half of the texts."""
    monkeypatch.setenv("HURNET_REDIS_PREFIX", "blue")
    loaded = settings.load()
    assert (loaded.ingest.group, loaded.responder.group) == ("blue-ingest", "blue-responder")
    monkeypatch.setenv("HURNET_INGEST_GROUP", "mine")
    monkeypatch.setenv("HURNET_RESPONDER_GROUP", "")
    loaded = settings.load()
    assert (loaded.ingest.group, loaded.responder.group) == ("mine", "blue-responder")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"RIDGE": "-1"}, "HURNET_SOLVE_RIDGE.*greater than or equal to 0"),
        ({"RIDGE": "nan"}, "HURNET_SOLVE_RIDGE.*finite"),
        ({"RIDGE": "inf"}, "HURNET_SOLVE_RIDGE.*finite"),
        ({"RIDGE": "1e400"}, "HURNET_SOLVE_RIDGE.*finite"),
        ({"RIDGE": "1e10"}, "HURNET_SOLVE_RIDGE.*less than"),
        ({"RIDGE": "1e-30"}, "HURNET_SOLVE_RIDGE.*told from 0"),
        ({"RIDGE": "cgv"}, "HURNET_SOLVE_RIDGE.*'gcv'"),
        ({"RIDGE": "1e9", "HALF_LIFE": "60"}, "HURNET_SOLVE_RIDGE must be below"),
        ({"HALF_LIFE": "nan"}, "HURNET_SOLVE_HALF_LIFE"),
        ({"HALF_LIFE": "inf"}, "HURNET_SOLVE_HALF_LIFE"),
        ({"HALF_LIFE": "-60"}, "HURNET_SOLVE_HALF_LIFE"),
        ({"HALF_LIFE": "59"}, "HURNET_SOLVE_HALF_LIFE must be at least 60"),
        ({"HALF_LIFE": "60", "RIDGE": "gcv"}, "HURNET_SOLVE_HALF_LIFE needs a fixed ridge"),
        (
            {"HALF_LIFE": "60", "HURNET_PAPER_FEATURES": "gaussian:256"},
            "HURNET_SOLVE_HALF_LIFE and kernel features",
        ),
        (
            {"HURNET_PAPER_FEATURES": "gaussian:1000000000"},
            "HURNET_PAPER_FEATURES: must be none, or a kernel",
        ),
        ({"HURNET_PAPER_FEATURES": "gaussian"}, "HURNET_PAPER_FEATURES: must be none"),
        ({"HURNET_PAPER_FEATURES": "gaussian:256:0"}, "HURNET_PAPER_FEATURES: must be none"),
        ({"HURNET_PAPER_FEATURES": "gaussian:256:nan"}, "HURNET_PAPER_FEATURES: must be none"),
        ({"HURNET_PAPER_FEATURES": "arccosine:256:1"}, "HURNET_PAPER_FEATURES: must be none"),
        ({"ROWS": "0"}, "HURNET_SOLVE_ROWS"),
        ({"CHECKPOINT_ROWS": "-5"}, "HURNET_SOLVE_CHECKPOINT_ROWS"),
        ({"CHECKPOINT_ROWS": "9" * 30}, "HURNET_SOLVE_CHECKPOINT_ROWS"),
        ({"INTERVAL": "nan"}, "HURNET_SOLVE_INTERVAL"),
        ({"CHECKPOINT_INTERVAL": "-1"}, "HURNET_SOLVE_CHECKPOINT_INTERVAL"),
        ({"DEVICE": "abacus"}, "HURNET_SOLVE_DEVICE"),
        ({"LEASE": "0"}, "HURNET_SOLVE_LEASE"),
        ({"PATIENCE": "0"}, "HURNET_SOLVE_PATIENCE"),
    ],
)
def test_a_wrong_setting_of_the_solver_is_told_in_words(
    wrong: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name if name.startswith("HURNET_") else f"HURNET_SOLVE_{name}", value)
    with pytest.raises(ConfigurationError, match=said):
        settings.load()


def test_a_lease_that_a_slow_store_could_end_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HURNET_SOLVE_LEASE", "5")
    assert any("HURNET_SOLVE_LEASE" in caution for caution in cautions(settings.load()))


def test_topics_and_contexts_have_tables_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text(
        '[topics.tickets]\ntext = "value.subject"\nmetadata.product = "value.p"\n[contexts.faq]\nage = 5\n'
    )
    loaded = settings.load(file)
    assert loaded.topics["tickets"].text == "value.subject"
    assert loaded.topics["tickets"].metadata == {"product": "value.p"}
    assert loaded.contexts["faq"].age == 5


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('[topics."a b"]\ntext = "x"', "[topics.a b] in the settings file has no name that this can have"),
        ('[topics.a]\ntex = "x"', "tex of [topics.a] in the settings file is no setting; did you mean text?"),
        ('[topics.a]\nformat = "xml"', "format of [topics.a] in the settings file is wrong"),
        ("topics = 3", "[topics] in the settings file must be a table"),
        ("[topics]\na = 3", "[topics.a] in the settings file must be a table"),
        ("[contexts.FAQ]\nage = 3", "[contexts.FAQ] in the settings file has no name that this can have"),
        ("[contexts.faq]\nage = -3", "age of [contexts.faq] in the settings file is wrong"),
        ('[topics.a]\nmetadata = {"b c" = "x"}', "metadata.b c.[key] of [topics.a] in the settings file"),
    ],
)
def test_what_is_wrong_in_such_a_table_is_named(tmp_path: Path, table: str, told: str) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text(table)
    with pytest.raises(ConfigurationError) as raised:
        settings.load(file)
    assert told in str(raised.value)


def test_a_settings_file_of_a_gigabyte_is_not_read_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "hurnet.toml"
    with file.open("wb") as hollow:
        hollow.truncate(1 << 30)
    with pytest.raises(ConfigurationError, match=rf"{file}.*longer than"):
        settings.from_file(file)
