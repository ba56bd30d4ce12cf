"""A program section of supervisord for this configuration."""

from __future__ import annotations

from shlex import join
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.deployment import user_commands
from phlows_cli.cli.deploy.files import Bundle, File

if TYPE_CHECKING:
    from phlows_cli.cli.deploy.deployment import Deployment

FOLDER: Final = "/etc/supervisor/conf.d"

PROGRAM: Final = """\
; {path}
; Made by `phlows service supervisor`.
; Put it there, and type:
{commands}
;
; A reload after a change of the configuration: the broker sees it by itself, or type
;   supervisorctl signal HUP {name}
;
; supervisord hands down its own limit of descriptors, and a socket needs one each: write
; minfds={descriptors} into [supervisord] of /etc/supervisor/supervisord.conf, and restart it.

[program:{name}]
command={command}
; Its apps run as this user, too. supervisord leaves HOME as root's, so it is said here.
user={user}
environment={environment}
directory=/
autostart=true
; Again after a crash; 0 is an end in order, 2 a wrong configuration.
autorestart=unexpected
exitcodes=0,2
startsecs=2
; TERM drains: server.drain_timeout is {drain:g} seconds. What still runs after {stop} is killed.
stopsignal=TERM
stopwaitsecs={stop}
; The broker alone is told to stop: it lets its hooks end by themselves.
stopasgroup=false
killasgroup=false
; It writes its log to stderr, and nothing to stdout.
stdout_logfile=NONE
stderr_logfile=/var/log/supervisor/{name}.log
stderr_logfile_maxbytes=50MB
stderr_logfile_backups=5
umask=027
"""


def supervisor_bundle(deployment: Deployment) -> Bundle:
    """Make the section."""
    path = f"{FOLDER}/{deployment.name}.conf"
    commands = (
        *user_commands(deployment.user, deployment.state),
        "supervisorctl reread",
        "supervisorctl update",
        f"supervisorctl status {deployment.name}",
    )
    text = PROGRAM.format(
        path=path,
        name=deployment.name,
        commands="\n".join(f";   {command}" for command in commands),
        command=_escaped(join(deployment.serve)),
        user=deployment.user,
        environment=_environment(deployment),
        drain=deployment.config.server.drain_timeout,
        stop=deployment.stop_seconds,
        descriptors=deployment.descriptors,
    )
    remarks = []
    if not deployment.state_dir:
        remarks.append(
            f"the key is made in {deployment.state}: set server.state_dir to that, "
            "so that commands of other users look there, too"
        )
    if deployment.needs_port_right:
        remarks.append("a port below 1024 needs root, or a web server in front (phlows proxy)")
    return Bundle((File(path, text),), commands, tuple(remarks))


def _environment(deployment: Deployment) -> str:
    values = {"HOME": deployment.state, "USER": deployment.user}
    if not deployment.state_dir:
        values["STATE_DIRECTORY"] = deployment.state
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(text: str) -> str:
    """Write a text so that supervisord finds no expansion in it."""
    return text.replace("%", "%%")
