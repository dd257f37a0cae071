"""`hurnet completion`: commands and options completed with the TAB key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

EPILOG = """\b
Examples:
  eval "$(hurnet completion bash)"    # as a line of ~/.bashrc
  eval "$(hurnet completion zsh)"     # as a line of ~/.zshrc
  hurnet completion fish > ~/.config/fish/completions/hurnet.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands with TAB.

    With it the shell asks `hurnet` what can come next, so it stays right when commands change.
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from hurnet_stream.terminal.screen import say

    kinds: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    made = kinds[shell](ctx.find_root().command, {}, "hurnet", "_HURNET_COMPLETE")
    say(made.source_template % made.source_vars())  # `made.source()` would start a bash to ask its version
