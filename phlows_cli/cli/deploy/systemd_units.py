"""phlows.service and phlows.socket for this configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.deployment import user_commands
from phlows_cli.cli.deploy.files import Bundle, File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.deploy.deployment import Deployment

FOLDER: Final = "/etc/systemd/system"
WATCHDOG: Final = 30
BACKLOG: Final = 4096

SOCKET: Final = """\
# {path}
# Made by `phlows service systemd --socket`. systemd holds the socket: who connects while
# the broker is restarted waits, and nobody is refused.

[Unit]
Description=Where {name} listens

[Socket]
{listen}
# Connections that may wait while the service is restarted.
Backlog={backlog}
NoDelay=true

[Install]
WantedBy=sockets.target
"""

SERVICE: Final = """\
# {path}
# Made by `phlows service systemd`.
{commands}

[Unit]
Description=phlows, a realtime broker
Documentation=man:phlows(1)
{after}

[Service]
# It says when it serves, and feeds the watchdog from its event loop: a loop that is stuck
# for {watchdog} seconds is restarted.
Type=notify
NotifyAccess=main
WatchdogSec={watchdog}
ExecStart={start}
# A file with a fault is refused here, with the line that is wrong, and nothing changes.
ExecReload={check}
ExecReload=/bin/kill -HUP $MAINPID
{sockets}# Its apps run as this user, too.
User={user}
Restart=on-failure
RestartSec=1
# 2 is a wrong configuration: starting again would not mend it.
RestartPreventExitStatus=2
# Only the broker is told to stop, and lets its hooks end by themselves: server.drain_timeout
# is {drain:g} seconds, and what still runs after {stop} is killed.
KillMode=mixed
TimeoutStopSec={stop}
# A descriptor a socket, and more for the bridge and the pipes of hooks.
LimitNOFILE={descriptors}
# The broker with all processes of its apps.
TasksMax={processes}

{folders}

# What follows holds for apps, too: they are its children.

# No process gains rights, by setuid programs such as sudo or by capabilities.
NoNewPrivileges=true
{capabilities}
RestrictSUIDSGID=true
# Everything is read-only but what is named above.
ProtectSystem=strict
{home}
{tmp}
# No disks, no memory, no other hardware.
PrivateDevices=true
# The kernel's settings, modules and log, the clock and the machine's name stay as they are.
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
# Processes of other users are not seen: their arguments may be secrets.
ProtectProc=invisible
RestrictRealtime=true
# No containers; take this away for an app that starts a browser.
RestrictNamespaces=true
LockPersonality=true
SystemCallArchitectures=native
# The network by TCP and UDP, and unix sockets (databases, php-fpm), nothing rawer.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
# What apps write is not for everybody.
UMask=0027
# Not here on purpose: MemoryDenyWriteExecute= (PHP's JIT needs such memory), SystemCallFilter=
# (an app is any program), PrivateUsers= (files of other users would be nobody's).

[Install]
WantedBy=multi-user.target
"""


def systemd_bundle(deployment: Deployment, *, has_socket: bool) -> Bundle:
    """Make the units.

    Args:
        deployment: the broker.
        has_socket: whether systemd is to hold its socket.
    """
    units = [f"{deployment.name}.service"]
    if has_socket:
        units.insert(0, f"{deployment.name}.socket")
    paths = [f"{FOLDER}/{unit}" for unit in units]
    commands = (
        *user_commands(deployment.user, deployment.state_dir),
        f"systemd-analyze verify {' '.join(paths)}",
        "systemctl daemon-reload",
        f"systemctl enable --now {' '.join(units)}",
    )
    files = [_service(deployment, commands, has_socket=has_socket)]
    if has_socket:
        files.insert(0, _socket(deployment))
    return Bundle(tuple(files), commands, tuple(_remarks(deployment)))


def _socket(deployment: Deployment) -> File:
    path = f"{FOLDER}/{deployment.name}.socket"
    server = deployment.config.server
    streams = [f"ListenStream={stream_address(item, server.port)}" for item in server.listen]
    if any(item.startswith("unix:") for item in server.listen):
        streams += [
            "# Who is in this group may connect: the web server's, for one.",
            "# SocketGroup=www-data",
            "SocketMode=0660",
        ]
    text = SOCKET.format(
        path=path, name=deployment.name, listen="\n".join(streams), backlog=BACKLOG
    )
    return File(path, text)


def stream_address(item: str, port: int) -> str:
    """Write an address of server.listen as systemd does."""
    if item.startswith("unix:"):
        return escaped(item.removeprefix("unix:"))
    return f"[{item}]:{port}" if ":" in item else f"{_numeric(item)}:{port}"


def _numeric(item: str) -> str:
    """A name is none that systemd would look up; the one that matters is known."""
    return "127.0.0.1" if item == "localhost" else item


def _service(deployment: Deployment, commands: Iterable[str], *, has_socket: bool) -> File:
    path = f"{FOLDER}/{deployment.name}.service"
    unit = f"{deployment.name}.socket"
    text = SERVICE.format(
        path=path,
        commands="\n".join(
            ["# Put it there, and type:", *(f"#   {command}" for command in commands)]
        ),
        after=f"Requires={unit}\nAfter=network.target {unit}"
        if has_socket
        else "After=network.target",
        sockets=f"Sockets={unit}\n" if has_socket else "",
        watchdog=WATCHDOG,
        start=command_line(deployment.serve),
        check=command_line(deployment.check),
        user=deployment.user,
        drain=deployment.config.server.drain_timeout,
        stop=deployment.stop_seconds,
        descriptors=deployment.descriptors,
        processes=deployment.processes,
        folders="\n".join(_folders(deployment, has_socket=has_socket)),
        capabilities=_capabilities(deployment, has_socket=has_socket),
        home=_home(deployment),
        tmp=_tmp(deployment),
    )
    return File(path, text)


def _folders(deployment: Deployment, *, has_socket: bool) -> list[str]:
    lines = []
    if not deployment.state_dir:
        lines += [
            f"# /var/lib/{deployment.name} is made for its key and its journal.",
            f"StateDirectory={deployment.name}",
            "StateDirectoryMode=0700",
        ]
    for folder in [] if has_socket else _run_folders(deployment):
        lines += [f"# {folder} is made for its unix socket.", f"RuntimeDirectory={folder.name}"]
    writable = deployment.writable_folders()
    if writable:
        lines.append("# What the broker and its apps may write besides; name more where they do.")
        lines += [f"ReadWritePaths={quoted('-' + folder)}" for folder in writable]
    return lines


def _run_folders(deployment: Deployment) -> list[Path]:
    listen = deployment.config.server.listen
    paths = [Path(item[5:]).parent for item in listen if item.startswith("unix:")]
    return [path for path in dict.fromkeys(paths) if path.parent == Path("/run")]


def _capabilities(deployment: Deployment, *, has_socket: bool) -> str:
    if deployment.needs_port_right and not has_socket:
        port = deployment.config.server.port
        return (
            f"# Port {port} needs this one right; with --socket it needs none.\n"
            "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        )
    return "CapabilityBoundingSet="


def _home(deployment: Deployment) -> str:
    if deployment.is_below("/home", "/root", "/run/user"):
        return (
            "# Something that it needs is in a home: homes can be read, not written.\n"
            "ProtectHome=read-only"
        )
    return "# Homes are not seen at all.\nProtectHome=true"


def _tmp(deployment: Deployment) -> str:
    if deployment.is_below("/tmp", "/var/tmp"):  # noqa: S108 - it is asked about, not used
        return "# Something that it needs is in /tmp, so it has none of its own.\nPrivateTmp=false"
    return (
        "# A /tmp of its own. Apps that share files there with the web server (PHP sessions,\n"
        "# a database's socket) need false.\nPrivateTmp=true"
    )


def _remarks(deployment: Deployment) -> list[str]:
    remarks = []
    if not deployment.state_dir and deployment.name != "phlows":
        remarks.append(
            "commands look for the key in /var/lib/phlows: "
            f"set server.state_dir to {deployment.state}"
        )
    if deployment.is_below("/tmp"):  # noqa: S108 - it is asked about, not used
        remarks.append("something that the broker needs is in /tmp, which a restart may empty")
    return remarks


def command_line(words: Iterable[str]) -> str:
    """Write a command as ExecStart= reads it."""
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    return quoted(word.replace("$", "$$"))


def quoted(text: str) -> str:
    """Write one of several words."""
    return f'"{escaped(text)}"' if " " in text else escaped(text)


def escaped(text: str) -> str:
    """Write a text so that systemd finds no specifier in it."""
    return text.replace("%", "%%")
