"""phlows completion: a script that teaches a shell our words."""

from __future__ import annotations

import click

from phlows_cli.cli.options import json_option
from phlows_cli.cli.output import emit

HELP = """\
Example: phlows completion --install

Print the completion script of a shell, or with --install put it where that
shell looks. SHELL is bash, zsh or fish; without it: the one of $SHELL. It
completes commands, options and their values, the hosts of the configuration
and the sockets of a running broker, and needs no renewal when phlows changes.

\b
More examples:
  phlows completion zsh --install
  eval "$(phlows completion bash)"
"""

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print or install a shell's completion script.", help=HELP)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", "is_to_install", is_flag=True, help="Put it where the shell looks.")
@json_option("an object with shell and script, or what --install has done")
def completion(shell: str | None, is_to_install: bool, as_json: bool) -> None:
    """Print one of the three scripts, or install it."""
    import os

    from phlows_cli.cli.shell_folders import install, shell_of
    from phlows_cli.cli.shells import SCRIPTS

    chosen = shell or shell_of(os.environ, SHELLS)
    script = SCRIPTS[chosen]
    if not is_to_install:
        emit({"shell": chosen, "script": script}, as_json, lambda: script.rstrip("\n"))
        return
    done = install(chosen, script, os.environ)
    verb = "written to" if done.is_changed else "there already:"
    told = {"shell": chosen, "path": str(done.path), "changed": done.is_changed, "next": done.next}
    emit(told, as_json, lambda: f"{chosen}: {verb} {done.path}\nnow: {done.next}")
