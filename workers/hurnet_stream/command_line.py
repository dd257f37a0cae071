"""The command line.

Modules of commands import only click at their top, and all else inside their functions, so that `hurnet
--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hurnet_stream.commands.ask import ask
from hurnet_stream.commands.backup import backup
from hurnet_stream.commands.canary import canary
from hurnet_stream.commands.compact import compact
from hurnet_stream.commands.completion import completion
from hurnet_stream.commands.contexts import contexts
from hurnet_stream.commands.correct import correct
from hurnet_stream.commands.dead_letters import dead_letters
from hurnet_stream.commands.demo import demo
from hurnet_stream.commands.doctor import doctor
from hurnet_stream.commands.evaluate import evaluate
from hurnet_stream.commands.export import export
from hurnet_stream.commands.feedback import feedback
from hurnet_stream.commands.forget import forget
from hurnet_stream.commands.gateway import gateway
from hurnet_stream.commands.ingest import ingest
from hurnet_stream.commands.keys import keys
from hurnet_stream.commands.list import list_entries
from hurnet_stream.commands.map import map_topic
from hurnet_stream.commands.migrate import migrate
from hurnet_stream.commands.plan import plan
from hurnet_stream.commands.produce import produce
from hurnet_stream.commands.repair import repair
from hurnet_stream.commands.replay import replay
from hurnet_stream.commands.reshard import reshard
from hurnet_stream.commands.responder import responder
from hurnet_stream.commands.restore import restore
from hurnet_stream.commands.rights import rights
from hurnet_stream.commands.schemas import schemas
from hurnet_stream.commands.settings import settings
from hurnet_stream.commands.slice import slice_
from hurnet_stream.commands.solver import solver
from hurnet_stream.commands.status import status
from hurnet_stream.commands.topics import topics
from hurnet_stream.commands.unanswered import unanswered
from hurnet_stream.commands.up import up
from hurnet_stream.commands.verify import verify
from hurnet_stream.commands.weights import weights
from hurnet_stream.terminal.endings import (
    asked_for_json,
    fault,
    fault_in_full,
    flush_output,
    heeding_signals,
    remember,
    told,
)
from hurnet_stream.terminal.streams import prepare

EPILOG = """\b
Every command explains itself and gives examples: hurnet ask --help
Complete commands with TAB:                       hurnet completion --help

Report a bug in the issue tracker of the repository that you have hurnet from. Please add what
`hurnet --version` and `hurnet status` print, and the last lines of the worker's log. Secrets of the
settings are hidden in both.
"""


class _Commands(click.Group):
    """Lists commands in the order in which they were added, and ends them as `endings` says."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        return list(self.commands)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        as_json = asked_for_json(args)
        with told(as_json):
            ctx = super().make_context(info_name, args, parent, **extra)
        remember(ctx, as_json)
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        with told(ctx.meta["hurnet.json"]), heeding_signals():
            return super().invoke(ctx)


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hurnet-stream", prog_name="hurnet")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of settings. Default: the file that HURNET_CONFIG names. See `hurnet settings`.",
)
@click.option("--traceback", is_flag=True, help="Show where in the program a fault of hurnet itself arose.")
def hurnet(config: Path | None, traceback: bool) -> None:
    """Answer questions from the texts that stream in through Kafka, each answer with its receipt.

    Start with `hurnet demo`, or with `hurnet up --workers --console` for a system of your own on this
    machine.
    """
    if traceback:
        sys.excepthook = fault_in_full
    if config:
        os.environ["HURNET_CONFIG"] = str(config.absolute())  # processes that a command starts need it, too


def _no_color(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        os.environ["NO_COLOR"] = "1"  # as https://no-color.org has it, also for what a command starts


for _command in (
    *(
        demo,
        up,
        topics,
        map_topic,
        produce,
        export,
        ask,
        correct,
        unanswered,
        forget,
        list_entries,
        contexts,
        dead_letters,
        status,
        doctor,
    ),
    *(replay, verify, repair, backup, restore, compact, migrate, reshard, weights, evaluate, plan),
    *(
        ingest,
        solver,
        responder,
        slice_,
        feedback,
        canary,
        gateway,
        keys,
        settings,
        rights,
        schemas,
        completion,
    ),
):
    hurnet.add_command(_command)
_help = "Print neither colours nor bold type. The variable NO_COLOR does the same."
_plain = click.Option(["--no-color"], is_flag=True, expose_value=False, callback=_no_color, help=_help)


def _all_of(group: click.Group) -> Iterator[click.Command]:
    yield group
    for command in group.commands.values():
        yield from _all_of(command) if isinstance(command, click.Group) else (command,)


for _takes_it in _all_of(hurnet):
    _takes_it.params.append(_plain)


def run() -> None:
    sys.excepthook = fault
    prepare()
    try:
        hurnet(prog_name="hurnet")
    except SystemExit as ended:
        sys.exit(flush_output(ended.code if isinstance(ended.code, int) else 0))
