"""API keys: who may do what, and that a key is nowhere but with its owner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hurnet_stream.command_line import hurnet
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.gateway.keys import ANYBODY, Keys, KeyTable, digest_of, new_key, read_keys, table_of
from tests.worlds.gateway import GatewayWorld

ASK = {"text": "how do I turn on the light?"}


def write(path: Path, key: str, **fields: Any) -> Path:
    given = {"name": "website", "rights": ["ask"], "contexts": ["*"], **fields}
    path.write_text(table_of(KeyTable(sha256=digest_of(key), **given)))
    return path


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def world(tmp_path: Path, key: str) -> Iterator[GatewayWorld]:
    file = write(tmp_path / "keys.toml", key, contexts=["support", "faq-*"])
    made = GatewayWorld(keys=file)
    yield made
    made.close()


def test_a_key_is_found_by_its_digest_and_shows_nothing_of_itself(tmp_path: Path, key: str) -> None:
    (found,) = read_keys(write(tmp_path / "keys.toml", key, rate=2.5, expires=date(2030, 1, 1)))
    assert Keys(tmp_path / "keys.toml").find(key) == found
    assert key not in repr(found)
    assert digest_of(key) not in repr(found)
    assert Keys(tmp_path / "keys.toml").find(new_key()) is None
    assert Keys(tmp_path / "keys.toml").find(None) is None


def test_without_a_file_everybody_may_do_everything() -> None:
    assert Keys(None).find(None) is ANYBODY
    assert all(ANYBODY.may(right, "any") for right in ("ask", "teach", "forget", "watch"))


def test_an_expired_key_is_not_in_force(tmp_path: Path, key: str) -> None:
    file = write(tmp_path / "keys.toml", key, expires=date(2027, 1, 1))
    day_s = 1_798_761_600.0  # 2027-01-01T00:00Z
    now = [day_s - 1]
    keys = Keys(file, lambda: now[0])
    assert keys.find(key)
    now[0] = day_s
    assert keys.find(key) is None


def test_contexts_are_names_or_beginnings_of_names(tmp_path: Path, key: str) -> None:
    (found,) = read_keys(write(tmp_path / "k", key, contexts=["support", "faq-*"]))
    assert [found.reaches(name) for name in ("support", "faq-", "faq-en")] == [True] * 3
    assert [found.reaches(name) for name in ("supports", "faq", "default")] == [False] * 3


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, key: str) -> None:
    now = [0.0]
    file = write(tmp_path / "keys.toml", key)
    keys = Keys(file, lambda: now[0])
    other = new_key()
    write(file, other, name="other")
    now[0] += 2
    assert keys.find(key) is None
    found = keys.find(other)
    assert found
    assert found.name == "other"


def test_a_stream_ends_with_the_key_that_it_was_opened_by(tmp_path: Path, key: str) -> None:
    now = [0.0]
    file = write(tmp_path / "keys.toml", key)
    keys = Keys(file, lambda: now[0])
    found = keys.find(key)
    assert found
    assert keys.holds(found)
    write(file, new_key(), name="other")
    now[0] += 2
    assert not keys.holds(found)
    assert Keys(None).holds(ANYBODY)


@pytest.mark.parametrize("broken", ["[[keys]", "keys = 3", '[[keys]]\nname = "x"', None], ids=str)
def test_a_broken_new_file_keeps_the_old_one(
    tmp_path: Path, key: str, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    file = write(tmp_path / "keys.toml", key)
    keys = Keys(file, lambda: now[0])
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    now[0] += 2
    assert keys.find(key)
    assert keys.trouble
    write(file, key)
    os.utime(file, ns=(1, 1))
    now[0] += 2
    assert keys.find(key)
    assert keys.trouble is None


def test_a_file_that_comes_back_as_it_was_is_in_force_again(tmp_path: Path, key: str) -> None:
    now = [0.0]
    file = write(tmp_path / "keys.toml", key)
    keys = Keys(file, lambda: now[0])
    away = file.rename(tmp_path / "away.toml")
    now[0] += 2
    assert keys.find(key)
    assert keys.trouble
    away.rename(file)  # the same file, with its times
    now[0] += 2
    assert keys.find(key)
    assert keys.trouble is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[keys]", "is not TOML: at"),
        ("= = \x00", "is not TOML"),
        ('[[keys]]\nname = "a b"\nsha256 = "0"\nrights = ["ask"]', "table 1, name: 1 to 64 of"),
        ('[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["fly"]', "table 1, rights: a list of some of ask"),
        ('[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = []', "table 1, rights"),
        ('[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["ask"]\ncontexts = ["A"]', "table 1, contexts"),
        (
            '[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["ask"]\nrate = 0',
            "table 1, rate: a number above 0",
        ),
        ('[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["ask"]\nexpires = 3.5', "table 1, expires"),
        ('[[keys]]\nname = "a"\nsha256 = "hk_oops"\nrights = ["ask"]', "table 1, sha256: 64 hexadecimal"),
        ('[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["ask"]\nright = 1', "table 1, right"),
        (
            '[[keys]]\nname = "a"\nsha256 = "{0}"\nrights = ["ask"]\n' * 2,
            "table 2 has the name of an earlier",
        ),
        ("keys = 3", "'keys'"),
        ("[[other]]", "'other'"),
    ],
)
def test_a_wrong_file_is_told_by_its_place_and_what_would_be_right(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(content.replace("{0}", "0" * 64))
    with pytest.raises(ConfigurationError) as refused:
        Keys(file)
    assert told in str(refused.value)
    assert "hk_oops" not in str(refused.value)
    assert "0" * 64 not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read"):
        Keys(tmp_path / "none.toml")


def test_rights_hold_by_context(world: GatewayWorld, key: str) -> None:
    assert (
        world.call("POST", "/v1/ask", json=ASK | {"context": "faq-en"}, headers=bearer(key)).status_code
        == 200
    )
    other = world.call("POST", "/v1/ask", json=ASK | {"context": "secret"}, headers=bearer(key))
    assert other.status_code == 404
    absent = world.call("POST", "/v1/ask", json=ASK | {"context": "absent"}, headers=bearer(key))
    assert absent.json()["detail"] == other.json()["detail"].replace("secret", "absent")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer hk_wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic aGs6aGs="},
        {"Authorization": "Bearer ключ".encode().decode("latin-1")},
    ],
    ids=str,
)
def test_without_a_key_in_force_nothing_is_told(world: GatewayWorld, headers: dict[str, str]) -> None:
    response = world.call(
        "POST", "/v1/ask", json=ASK, headers={k: v.encode("latin-1") for k, v in headers.items()}
    )
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="hurnet"'
    assert response.headers["content-type"] == "application/problem+json"
    assert not world.courier.posted
    assert world.refused("key") == 1


def test_two_keys_at_once_are_none(world: GatewayWorld, key: str) -> None:
    headers = [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]
    assert world.call("POST", "/v1/ask", json=ASK, headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/v1/ask?key={}", "/v1/contexts/{}", "/v1/ask?x=1&access_token={}"])
def test_a_key_in_the_url_is_refused_and_not_repeated(
    world: GatewayWorld, key: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    response = world.call("POST", path.format(key), json=ASK, headers=bearer(key))
    assert response.status_code == 400
    assert "must not stand in a URL" in response.json()["detail"]
    told = (
        response.text
        + str(capsys.readouterr())
        + world.metrics.exposition().decode()
        + str(dict(response.headers))
    )
    assert key not in told
    assert key[3:] not in told


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/contexts/hk_docs", 404), ("DELETE", "/v1/texts?key=hk_7&context=support", 403)],
)
def test_names_that_begin_as_a_key_does_are_none(
    world: GatewayWorld, key: str, method: str, path: str, status: int
) -> None:
    assert world.call(method, path, headers=bearer(key)).status_code == status


def test_keys_are_made_listed_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    made = run.invoke(
        hurnet, ["keys", "new", "web", "--rights", "ask,teach", "--contexts", "faq-*", "--rate", "2"]
    )
    assert made.exit_code == 0
    key = made.stderr.strip().splitlines()[0]
    file = tmp_path / "keys.toml"
    file.write_text(made.stdout)
    assert Keys(file).find(key)
    assert key not in made.stdout
    monkeypatch.setenv("HURNET_GATEWAY_KEYS", str(file))
    listed = run.invoke(hurnet, ["keys", "list", "--json"])
    assert '"name": "web"' in listed.stdout
    assert digest_of(key) not in listed.stdout
    checked = run.invoke(hurnet, ["keys", "check"], input=key + "\n")
    assert checked.exit_code == 0
    assert "web may ask, teach in faq-*" in checked.stdout
    assert run.invoke(hurnet, ["keys", "check"], input=new_key() + "\n").exit_code == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["a b"], "name must be"),
        (["a", "--rights", "fly"], "rights must be"),
        (["a", "--rights", ""], "rights must be"),
        (["a", "--contexts", "Big"], "contexts must be"),
        (["a", "--expires", "tomorrow"], "expires must be"),
        (["a", "--rate", "-1"], "--rate"),
    ],
)
def test_wrong_options_of_a_new_key_are_told(options: list[str], told: str) -> None:
    refused = CliRunner().invoke(hurnet, ["keys", "new", *options])
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert "[[keys]]" not in refused.stdout
