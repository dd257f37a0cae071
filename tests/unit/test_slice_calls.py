"""Slices are asked over gRPC: by whom, how many at once, and what is left if one is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hurnet_stream.adapters.grpc import GrpcSliceCalls, GrpcSliceDoor, credentials, server
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import NoReply, SliceCall
from hurnet_stream.settings.slices import SliceSettings
from tests.acceptance.system import wait_for
from tests.secured import Authority

Answer = Callable[[SliceCall], None]


def settings(**given: object) -> SliceSettings:
    return SliceSettings.model_validate(given)


def twice(call: SliceCall) -> None:
    call.reply(2 * call.payload)


@contextmanager
def served(chosen: SliceSettings, answer: Answer = twice) -> Iterator[str]:
    """A slice that answers so; gives its address."""
    done = threading.Event()
    with closing(GrpcSliceDoor(chosen)) as door:

        def serve() -> None:
            while not done.is_set():
                if call := door.take(0.01):
                    answer(call)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield door.address
        done.set()
        thread.join()


def asked(chosen: SliceSettings, *calls: tuple[str, bytes], timeout_s: float = 20.0) -> list[bytes | NoReply]:
    with closing(GrpcSliceCalls(chosen)) as slices:
        return list(slices.ask(calls, timeout_s))


def kinds(replies: list[bytes | NoReply]) -> list[object]:
    return [reply.kind if isinstance(reply, NoReply) else reply for reply in replies]


def test_all_are_asked_at_once_and_who_is_away_does_not_hold_up_the_others() -> None:
    with served(settings()) as one, served(settings()) as two:
        replies = asked(settings(), (one, b"a"), ("127.0.0.1:1", b"b"), (two, b"c" * 5_000_000))
    assert kinds(replies) == [b"aa", "away", b"c" * 10_000_000]


def test_who_does_not_know_the_secret_is_not_let_in(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("right\n")
    with served(settings(secret_file=file)) as address:
        assert kinds(asked(settings(secret="right"), (address, b"a"))) == [b"aa"]
        assert kinds(asked(settings(secret="wrong"), (address, b"a"))) == ["away"]
        assert kinds(asked(settings(), (address, b"a"))) == ["away"]
        file.write_text("renewed\n")
        assert kinds(asked(settings(secret="renewed"), (address, b"a"))) == [b"aa"]


def test_mutual_tls_lets_in_whom_the_authority_has_signed(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")

    def of(authority: Authority, name: str) -> SliceSettings:
        certificate, key = authority.issue(name)
        return settings(ca_file=authority.file, cert_file=certificate, key_file=key)

    with served(of(ours, "slice")) as address:
        assert kinds(asked(of(ours, "responder"), (address, b"a"))) == [b"aa"]
        assert kinds(asked(of(theirs, "responder"), (address, b"a"), timeout_s=5)) == ["away"]
        assert kinds(asked(settings(ca_file=ours.file), (address, b"a"), timeout_s=5)) == ["away"]
        assert kinds(asked(settings(), (address, b"a"), timeout_s=5)) == ["away"]


def test_what_a_slice_says_of_a_request_that_it_can_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(call: SliceCall) -> None:
        if call.payload == b"late":
            return
        call.refuse("so it is", failed=call.payload == b"failed")

    with served(settings(), answer) as address:
        refused = asked(settings(), (address, b"failed"), (address, b"unloaded"))
        assert kinds(refused) == ["failed", "away"]
        assert all(isinstance(each, NoReply) and "so it is" in each.reason for each in refused)
        assert kinds(asked(settings(), (address, b"late"), timeout_s=0.2)) == ["away"]
        monkeypatch.setattr(server, "WAIT_MOST_S", 0.1)
        assert kinds(asked(settings(), (address, b"late"))) == ["away"]


def test_a_request_that_is_too_long_fails_and_is_not_taken_for_an_absence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = [(name, 1_000 if name.endswith("length") else value) for name, value in credentials.OPTIONS]
    monkeypatch.setattr(credentials, "OPTIONS", most)
    with served(settings()) as address:
        assert kinds(asked(settings(), (address, b"x" * 1_001))) == ["failed"]
        assert kinds(asked(settings(), (address, b"x" * 600))) == ["failed"], "its reply is too long"
        assert kinds(asked(settings(), (address, b"x"))) == [b"xx"]


def test_more_than_may_wait_are_told_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WAITING_MOST", 2)
    with closing(GrpcSliceDoor(settings())) as door:
        replies: list[bytes | NoReply] = []
        waiting = [(door.address, b"a")] * 2
        thread = threading.Thread(target=lambda: replies.extend(asked(settings(), *waiting, timeout_s=120)))
        thread.start()
        wait_for(door._waiting.full, what="as many wait as may")
        assert kinds(asked(settings(), *[(door.address, b"b")] * 4, timeout_s=120)) == ["busy"] * 4
        for _ in waiting:
            call = door.take(120)
            assert call is not None
            call.reply(b"ok")
        thread.join(120)
    assert kinds(replies) == [b"ok", b"ok"]


def test_a_slice_that_dies_of_a_request_is_told_from_one_that_was_away() -> None:
    program = (
        "import os; from hurnet_stream.adapters.grpc import GrpcSliceDoor;"
        "from hurnet_stream.settings.slices import SliceSettings;"
        "door = GrpcSliceDoor(SliceSettings()); print(door.address, flush=True);"
        "door.take(60).reply(b'ok'); door.take(60); os._exit(9)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with closing(GrpcSliceCalls(settings())) as slices:
            replies = [slices.ask([(address, payload)], 20)[0] for payload in (b"a", b"poison", b"poison")]
        process.wait()
    assert kinds(replies) == [b"ok", "broke", "away"]


def test_a_port_that_is_taken_is_a_mistake_of_the_settings() -> None:
    with closing(GrpcSliceDoor(settings())) as door, pytest.raises(ConfigurationError, match="SLICES_LISTEN"):
        GrpcSliceDoor(settings(listen=door.address))


@pytest.mark.parametrize(
    ("listen", "address", "reached"),
    [
        ("127.0.0.1:7600", "", "127.0.0.1:7600"),
        ("[::1]:7600", "", "[::1]:7600"),
        ("0.0.0.0:7600", "slices-1.slices:7600", "slices-1.slices:7600"),
        ("0.0.0.0:7600", "", "me:7600"),
    ],
)
def test_where_others_reach_a_slice(
    listen: str, address: str, reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "me")
    assert server._reached_at(settings(listen=listen, address=address), 7600) == reached
