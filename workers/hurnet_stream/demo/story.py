"""The demo from its first line to its last: the scenes in order, and what becomes of it if one fails."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from hurnet_stream.client.client import Client
from hurnet_stream.demo import correcting, forgetting, measuring, streaming, teaching, your_turn
from hurnet_stream.demo.backstage import Backstage
from hurnet_stream.demo.data import load
from hurnet_stream.demo.stage import Stage
from hurnet_stream.demo.telling import Teller
from hurnet_stream.errors import ConfigurationError, HurnetError
from hurnet_stream.exit_codes import DONE, INTERRUPTED, NOT_WELL
from hurnet_stream.local.folders import writable
from hurnet_stream.local.page import gateway_is_installed, page_of
from hurnet_stream.local.signals import interruptible, undisturbed
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.settings.settings import GatewaySettings, KafkaSettings
from hurnet_stream.terminal.screen import console, now_try

Scene = Callable[[Stage], None]

SCENES: Sequence[Scene] = (
    teaching.play,
    correcting.play,
    forgetting.play,
    streaming.play,
    measuring.play,
)
WORKERS = ("ingest", "ingest", "solver", "responder", "feedback")
SETTINGS = {
    "HURNET_SOLVE_INTERVAL": "2",
    "HURNET_SOLVE_CHECKPOINT_INTERVAL": "1",
    "HURNET_KAFKA_SESSION_TIMEOUT": "3",
    "HURNET_INGEST_BATCH": "64",
    "OMP_NUM_THREADS": "1",
}
"""Everything is as by default but for these: the reader should not wait for what may take its time. Of a
killed ingest's partitions as many records as are in a batch are taken in one by one."""


def run(keep: Path | None, interactive: bool) -> int:
    """Run the demo; returns the exit code: 0, 1 if a claim did not hold or a scene failed, 130 after
    Ctrl-C."""
    teller = Teller(console())
    try:
        with interruptible(), kept(keep) as folder:
            code = _run(teller, folder, interactive)
    except KeyboardInterrupt:
        teller.say("\nstopped; everything has been ended", indent="")
        return INTERRUPTED
    for line in advice().splitlines():
        teller.line(line)
    return code


def _run(teller: Teller, folder: Path, interactive: bool) -> int:
    began = time.monotonic()
    teller.say(
        "hurnet demo: answers from texts that stream in. It starts a real Kafka, a real Valkey and workers on"
        " this machine, for itself alone.\n",
        indent="",
    )
    page = page_of(GatewaySettings(), teller.line) if gateway_is_installed() else None
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("HURNET_")}
    environment = clean | SETTINGS | (dict(page.environment) if page else {})
    system = LocalSystem(folder, teller.line, KafkaSettings(), environment)
    with ThreadPoolExecutor(1) as pool, system:
        data = pool.submit(load)  # meanwhile the servers start
        system.start_servers()
        system.start_workers((*WORKERS, "gateway") if page else WORKERS)
        address = f"kafka://{system.kafka.bootstrap}"
        with closing(Backstage(system)) as backstage, Client(address, timeout=your_turn.PATIENCE_S) as client:
            stage = Stage(client, backstage, teller, data.result())
            play(stage, SCENES)
            if interactive and not teller.failures:
                play(stage, [partial(your_turn.play, address=page.address if page else None)])
        teller.line()
        teller.line(f"ending everything; that was {time.monotonic() - began:.0f} s")
    return verdict(teller)


def play(stage: Stage, scenes: Sequence[Scene]) -> None:
    """These scenes, until one can't go on."""
    for scene in scenes:
        try:
            scene(stage)
        except HurnetError as error:
            stage.teller.expect(False, _reason(stage, error))
            return


def _reason(stage: Stage, error: HurnetError) -> str:
    """Why a scene failed: if a process has died, that is the reason to tell."""
    try:
        stage.backstage.check()
    except HurnetError as death:
        return str(death)
    return str(error)


def verdict(teller: Teller) -> int:
    """The exit code, and what failed, again and in short."""
    if not teller.failures:
        return DONE
    teller.line()
    teller.line("the demo failed:")
    for failure in teller.failures:
        said, log, _ = failure.partition("\n")
        teller.quote("", said.rpartition("; ")[0] if log else said)  # the end of a log was told above
    return NOT_WELL


def advice() -> str:
    """What to try next: three commands."""
    return now_try(
        "for a system of your own",
        "{hurnet} up --workers --console   # it stays; teach your own file in a browser",
        "{hurnet} evaluate --help          # your own questions, without servers",
        "{hurnet} settings                 # what can be set, and what one sets first",
    )


@contextlib.contextmanager
def kept(keep: Path | None) -> Iterator[Path]:
    """A folder for the files of servers and workers: `keep`, or one that is gone afterwards. Raises
    `ConfigurationError` if `keep` is not empty."""
    if keep is None:
        with writable("the temporary folder"):
            folder = tempfile.TemporaryDirectory(prefix="hurnet-demo-", ignore_cleanup_errors=True)
        try:
            yield Path(folder.name)
        finally:
            with undisturbed():
                folder.cleanup()
        return
    with writable(keep):
        keep.mkdir(parents=True, exist_ok=True)
        holds_files = any(keep.iterdir())
    if holds_files:
        raise ConfigurationError(f"the demo needs an empty folder, and {keep} holds files: name a new one")
    yield keep
