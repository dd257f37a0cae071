"""Settings: precedence, clear errors, secrets that stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import settings
from workers.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _, _ in settings.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HURNET_CONFIG", raising=False)


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HURNET_KAFKA_TEXTS", "no spaces", "kafka.texts"),
        ("HURNET_INGEST_BATCH", "0", "ingest.batch"),
        ("HURNET_SOLVE_RIDGE", "abc", "solve.ridge"),
        ("HURNET_SOLVE_FEATURES", "gaussian:2048:0", "solve.features"),
        ("HURNET_SOLVE_FEATURES", "gaussian:100", "solve.features"),
        ("HURNET_RESPONDER_P", "1", "responder.p"),
        ("HURNET_RESPONDER_DEVICE", "mps", "responder.device"),
        ("HURNET_KAFKA_NO_SUCH", "1", "kafka.no_such"),
        ("HURNET_TYPO", "1", "HURNET_TYPO"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said):
        settings.load()


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
    assert "hunter2" not in repr(loaded)
    monkeypatch.setenv("HURNET_KAFKA_SASL_MECHANISM", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        settings.load()
    assert "hunter2" not in str(caught.value)


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = settings.variables()
    assert len({name for name, _, _ in listed}) == len(listed) > 50
    assert all(meaning for _, _, meaning in listed)


def test_groups_and_transactional_ids_belong_to_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two systems on one Kafka would else share the partitions, and each get half of the texts."""
    monkeypatch.setenv("HURNET_REDIS_PREFIX", "blue")
    loaded = settings.load()
    assert (loaded.ingest.group, loaded.responder.group) == ("blue-ingest", "blue-responder")
    monkeypatch.setenv("HURNET_INGEST_GROUP", "mine")
    monkeypatch.setenv("HURNET_RESPONDER_GROUP", "")
    loaded = settings.load()
    assert (loaded.ingest.group, loaded.responder.group) == ("mine", "blue-responder")
