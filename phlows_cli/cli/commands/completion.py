"""phlows completion: a script that teaches a shell our words."""

from __future__ import annotations

import click

from phlows_cli.cli.options import json_option
from phlows_cli.cli.output import emit

HELP = """\
Example: eval "$(phlows completion bash)"

Print the completion script of a shell. It completes commands, options and
the names of the registered hosts, and needs no renewal when phlows changes.

\b
bash  eval "$(phlows completion bash)" in ~/.bashrc
zsh   phlows completion zsh > a folder of $fpath/_phlows
fish  phlows completion fish > ~/.config/fish/completions/phlows.fish
"""


@click.command(short_help="Print a shell's completion script.", help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print one of the three scripts."""
    from phlows_cli.cli.shells import SCRIPTS

    script = SCRIPTS[shell]
    emit({"shell": shell, "script": script}, as_json, lambda: script.rstrip("\n"))
