"""An ecosystem file of pm2 for this configuration."""

from __future__ import annotations

import json
from shlex import join
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.deployment import user_commands
from phlows_cli.cli.deploy.files import Bundle, File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.deploy.deployment import Deployment

ECOSYSTEM: Final = """\
// {path}
// Made by `phlows service pm2`. Put it there, and type as root:
{root}
// as the user {user} ({shell}):
{own}
// and as root again, so that it starts with the machine:
{last}
//
// A reload after a change of the configuration: the broker sees it by itself, or type
//   pm2 sendSignal SIGHUP {name}
// pm2 hands down its own limit of descriptors, and a socket needs one each: {descriptors} is
// what this broker wants (ulimit -n, or LimitNOFILE= in the unit of pm2 itself).

module.exports = {{
  apps: [
    {{
      name: {quoted_name},
      script: {script},
      args: {args},
      // phlows is no script of Node's.
      interpreter: 'none',
      // One process: several would not know each other's sockets.
      exec_mode: 'fork',
      instances: 1,
      cwd: '/',
      env: {env},
      autorestart: true,
      exp_backoff_restart_delay: 100,
      // 2 is a wrong configuration: starting again would not mend it.
      stop_exit_codes: [0, 2],
      // pm2 sends SIGINT, which drains: server.drain_timeout is {drain:g} seconds.
      kill_timeout: {stop},
      // The broker alone is told to stop: it lets its hooks end by themselves.
      treekill: false,
      // It writes its log to stderr, with times of its own.
      time: false,
      watch: false,
    }},
  ],
}}
"""


def pm2_bundle(deployment: Deployment) -> Bundle:
    """Make the ecosystem file."""
    path = str(deployment.path.parent / f"{deployment.name}.config.cjs")
    home = _home(deployment)
    made = user_commands(deployment.user, deployment.state)
    own = [join(["export", f"PM2_HOME={home}/.pm2"]), f"pm2 start {join([path])}", "pm2 save"]
    last = [join(["pm2", "startup", "-u", deployment.user, "--hp", home])]
    script, *args = deployment.serve
    env = {} if deployment.state_dir else {"STATE_DIRECTORY": deployment.state}
    text = ECOSYSTEM.format(
        path=path,
        user=deployment.user,
        root=_lines(made),
        own=_lines(own),
        last=_lines(last),
        shell=join(["su", "-s", "/bin/sh", deployment.user]),
        name=deployment.name,
        quoted_name=json.dumps(deployment.name),
        script=json.dumps(script),
        args=json.dumps(args),
        env=json.dumps(env),
        drain=deployment.config.server.drain_timeout,
        stop=deployment.stop_seconds * 1000,
        descriptors=deployment.descriptors,
    )
    remark = (
        f"useradd, install and pm2 startup need root; the other commands are {deployment.user}'s"
    )
    return Bundle((File(path, text),), (*made, *own, *last), (remark,))


def _home(deployment: Deployment) -> str:
    """Where pm2 keeps its own files: a user that is made for phlows has no other place."""
    from pwd import getpwnam

    try:
        home = getpwnam(deployment.user).pw_dir
    except KeyError:
        home = "/"
    return deployment.state if home in ("", "/", "/nonexistent") else home


def _lines(commands: Iterable[str]) -> str:
    return "\n".join(f"//   {command}" for command in commands)
