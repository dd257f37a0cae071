"""Kafka's classes that were prepared for quick starts take 65 MB for each virtual environment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hurnet_stream.local import kafka
from hurnet_stream.local.kafka import KafkaServer, owner_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kafka, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(kafka, "_record_classes", lambda cache: cache.write_bytes(b"classes"))
    return tmp_path


def prepared(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """The classes for a Java of this name, which are made unless they are there."""
    java = folder / name
    java.touch()
    monkeypatch.setattr(kafka, "java", lambda: java)
    (option,) = KafkaServer(folder / "data")._class_cache()
    return Path(option.removeprefix("-XX:AOTCache="))


def test_classes_of_environments_that_are_gone_go_when_others_are_prepared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder / "classes-of-before.aot"
    old.touch()
    living, gone = (prepared(folder, monkeypatch, name) for name in ("living", "gone"))
    (folder / "gone").unlink()
    assert prepared(folder, monkeypatch, "living") == living
    assert gone.exists(), "nothing is prepared, so nothing is removed"
    new = prepared(folder, monkeypatch, "new")
    assert sorted(folder.glob("classes-*")) == sorted([living, owner_of(living), new, owner_of(new)])


def test_classes_that_are_in_use_get_the_name_of_their_java(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = prepared(folder, monkeypatch, "living")
    owner_of(living).unlink()  # made before there were such names
    prepared(folder, monkeypatch, "living")
    prepared(folder, monkeypatch, "new")
    assert living.exists()


def test_classes_that_others_remove_at_the_same_time_are_no_error(folder: Path) -> None:
    for number in range(200):
        (folder / f"classes-{number}.aot").touch()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(kafka.remove_orphans, [folder] * 2))
    assert not list(folder.glob("classes-*"))
