"""The command line.

Modules of commands import only click at their top, and all else inside their functions, so that `hurnet
--help` is quick.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
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
from hurnet_stream.commands.feedback import feedback
from hurnet_stream.commands.forget import forget
from hurnet_stream.commands.gateway import gateway
from hurnet_stream.commands.ingest import ingest
from hurnet_stream.commands.produce import produce
from hurnet_stream.commands.repair import repair
from hurnet_stream.commands.responder import responder
from hurnet_stream.commands.restore import restore
from hurnet_stream.commands.rights import rights
from hurnet_stream.commands.schemas import schemas
from hurnet_stream.commands.settings import settings
from hurnet_stream.commands.solver import solver
from hurnet_stream.commands.status import status
from hurnet_stream.commands.topics import topics
from hurnet_stream.commands.unanswered import unanswered
from hurnet_stream.commands.up import up
from hurnet_stream.commands.verify import verify
from hurnet_stream.commands.weights import weights
from hurnet_stream.errors import HurnetError
from hurnet_stream.exit_codes import NOTHING_DONE
from hurnet_stream.visible import visible

EPILOG = """\b
Every command explains itself and gives examples: hurnet ask --help
Complete commands with TAB:                       hurnet completion --help

Report a bug in the issue tracker of the repository that you have hurnet from. Please add what
`hurnet --version` and `hurnet status` print, and the last lines of the worker's log. Secrets of the
settings are hidden in both.
"""


@contextmanager
def _told_safely() -> Iterator[None]:
    """Errors are shown without secrets and without anything that a terminal would obey.

    An error of ours ends a command with its message alone: one clear line instead of a traceback."""
    try:
        yield
    except HurnetError as error:
        raise _Failed(_safe(error)) from error
    except click.ClickException as error:
        error.message = _safe(error.message)  # type: ignore[misc]  # final for those who define errors
        raise


def _safe(error: object) -> str:
    from hurnet_stream.settings.redaction import redacted

    return visible(redacted(str(error)), keep="\n")


class _Failed(click.ClickException):
    exit_code = NOTHING_DONE


class _Commands(click.Group):
    """Lists commands in the order in which they were added, and shows their errors safely."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        return list(self.commands)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _told_safely():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _told_safely():
            return super().invoke(ctx)


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hurnet-stream", prog_name="hurnet")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of settings. Default: the file that HURNET_CONFIG names. See `hurnet settings`.",
)
def hurnet(config: Path | None) -> None:
    """Answer questions from the texts that stream in through Kafka, each answer with its receipt.

    Start with `hurnet demo`, or with `hurnet up --workers` for a system of your own on this machine.
    """
    if config:
        os.environ["HURNET_CONFIG"] = str(config.absolute())  # processes that a command starts need it, too


for _command in (
    *(demo, up, topics, produce, ask, correct, unanswered, forget, contexts, dead_letters, status, doctor),
    *(verify, repair, backup, restore, compact, weights, evaluate),
    *(ingest, solver, responder, feedback, canary, gateway, settings, rights, schemas, completion),
):
    hurnet.add_command(_command)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(_safe("".join(traceback.format_exception(kind, error, trace))))


def main() -> None:
    sys.excepthook = _uncaught
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that can't show a letter must not end a command.
            stream.reconfigure(errors="backslashreplace")
    hurnet(prog_name="hurnet")


if __name__ == "__main__":
    main()
