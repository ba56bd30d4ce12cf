"""The hosts' apps: there, readable, whole, and able to start. No hook is run."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.doctor.app_text import AppText, beginning, is_mute, mute_words
from phlows_cli.cli.doctor.check import Case, Check, Result, each_host, fail, ok, skip, warn
from phlows_cli.errors import PhlowsError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.doctor.check import Run
    from phlows_cli.model import Host

GROUP: Final = "Apps"

BOOT_SHARE: Final = 0.8
"""Of --timeout: so that a boot is told as such, and ended, before the check is."""

NO_APP: Final = "only pushed to: it has no app"
FRAME_LIMIT: Final = 65_536


def of_file(judge: Callable[[Case, Host], Result]) -> Run:
    """Make a check of an app that is a file."""

    def run(case: Case, name: str) -> Result:
        host = case.config.hosts[name]
        if not host.app:
            return skip(NO_APP)
        if host.is_url:
            return skip(f"its app is at {host.shown_app}")
        if judge is not _file and not os.access(host.app, os.R_OK):
            return skip(f"{host.app} cannot be read (see app-file)")
        return judge(case, host)

    return run


def _file(_case: Case, host: Host) -> Result:
    path, name = Path(host.app), host.name
    fix = f"`phlows host add {name} /path/to/app.php --replace`, or mend its app in phlows.toml"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return fail(f"{path} is not there", fix)
    except OSError as error:
        return fail(f"{path}: {error.strerror}", "let the broker's user through its folders")
    if not stat.S_ISREG(mode):
        return fail(f"{path} is not a file", fix)
    if not os.access(path, os.R_OK):
        return fail(f"{path} cannot be read by this user", f"`chmod +r {path}`")
    if mode & stat.S_IWOTH:
        return warn(f"{path} can be changed by every user", f"`chmod o-w {path}`")
    return ok(f"{path} is there and can be read")


def _parses(case: Case, host: Host) -> Result:
    from phlows_cli.cli.app_check import check_app

    try:
        check_app(host.app, case.config.interpreters, case.timeout * BOOT_SHARE)
    except TimedOutError:
        why = f"{host.app}: its parser did not answer in {case.timeout * BOOT_SHARE:g} seconds"
        return fail(why, "try it by hand: `php -l` or `python -m py_compile` and the file")
    except PhlowsError as error:
        return fail(str(error), f"mend {host.app}")
    kind = Path(host.app).suffix.lower()
    return ok(f"{host.app} {'parses' if kind in ('.php', '.py') else 'can be run'}")


def _boots(case: Case, host: Host) -> Result:
    from phlows_cli.runtime.protocol import WORKER_COMMAND

    if host.runtime != "resident":
        return skip("one-shot: to start it would be to run a hook, so it is only parsed")
    try:
        return _booted(case, host)
    except TimedOutError:
        why = f"{host.app} did not say that it is ready in {case.timeout * BOOT_SHARE:g} seconds"
        return fail(why, f"see where it hangs: run it with the argument {WORKER_COMMAND} by hand")
    except OSError as error:
        return fail(f"{host.app} cannot be started: {error.strerror}", "mend what it names")


def _booted(case: Case, host: Host) -> Result:
    """Start one worker, as the broker does, and end it once it is ready."""
    from phlows_cli.address import bridge_url
    from phlows_cli.cli.doctor.programs import run
    from phlows_cli.runtime.command import command_for, environment_for
    from phlows_cli.runtime.protocol import WORKER_COMMAND, Fatal, FrameReader, Ready

    frames = FrameReader(FRAME_LIMIT)
    seen: list[Ready | Fatal] = []

    def is_enough(chunk: bytes) -> bool:
        told = frames.receive_data(chunk)
        seen.extend(frame for frame in told if isinstance(frame, Ready | Fatal))
        return bool(seen)

    url = bridge_url(case.config.server.listen, case.config.server.port)
    ended = run(
        [*command_for(host, case.config.interpreters), WORKER_COMMAND],
        case.timeout * BOOT_SHARE,
        is_enough=is_enough,
        cwd=str(Path(host.app).parent),
        env=environment_for(host, url),
    )
    frame = seen[0] if seen else None
    if isinstance(frame, Ready):
        return ok(f"ready after {ended.seconds * 1000:.0f} ms")
    words = (frame.message if frame else "", ended.words)
    why = ": ".join(word for word in words if word)
    said = why or f"it ended with code {ended.code} and said nothing"
    return fail(f"{host.app} does not boot: {said}", _what_to_do(host, case, said))


def _what_to_do(host: Host, case: Case, said: str) -> str:
    if "No module named 'phlows_cli'" in said:
        return (
            f"`{case.config.interpreters.py} -m pip install phlows`, or set interpreters.py to"
            " a Python that has it"
        )
    loop = "`phlows_run();` in PHP, `run()` in Python"
    return f'mend {host.app}; it must end with its loop ({loop}), or set runtime = "oneshot"'


def _reached(case: Case, name: str) -> Result:
    from phlows_cli.runtime.http import trusted_by_the_system
    from phlows_cli.wire.endpoint import Endpoint

    host = case.config.hosts[name]
    if not host.is_url:
        return skip("its app is not a URL" if host.app else NO_APP)
    try:
        to = Endpoint.parse(host.app)
        with socket.create_connection((to.host, to.port), case.timeout * BOOT_SHARE) as plain:
            if not to.is_secure:
                return ok(f"{to.origin} takes connections (no hook was called)")
            with trusted_by_the_system().wrap_socket(plain, server_hostname=to.host) as tls:
                return ok(f"{to.origin} takes connections over {tls.version()}")
    except (PhlowsError, OSError) as error:
        why = getattr(error, "verify_message", "") or str(error)
        return fail(f"{host.shown_app} cannot be reached: {why}", "start it, or mend its app URL")


def _hooks(_case: Case, host: Host) -> Result:
    text = beginning(host.app)
    if is_mute(host, text):
        return warn(*mute_words(host))
    return _judge_hooks(host, AppText.read(host.app, text))


def _judge_hooks(host: Host, app: AppText) -> Result:
    wants = app.wanted_class(host.hook_class)
    if wants:
        return warn(
            f"hook_class is {host.hook_class!r}, but the app names class {wants!r}",
            f'set hook_class = "{wants}" (docs/phlo.md, "Which hook class")',
        )
    if app.defined is None:
        return ok(f"{host.hook_class}::{{{','.join(sorted(host.hooks))}}} are for the app to know")
    missing = sorted(host.hooks - app.defined)
    have = sorted(app.defined & host.hooks)
    if not have:
        what = f"none of its hooks ({', '.join(missing)}) is defined in the file"
        return warn(what, "define them, or name the file that does as its app")
    if "auth" in missing:
        return warn(
            "no auth hook is defined in the file, so every token is let in",
            "define one, or take auth out of hooks",
        )
    if missing and host.runtime == "oneshot":
        return ok(
            f"{', '.join(have)} are defined",
            f"take {', '.join(missing)} out of hooks: each event of them is a call for nothing",
        )
    return ok(f"{', '.join(have)} are defined")


CHECKS: Final = (
    Check(GROUP, "app-file", of_file(_file), each_host),
    Check(GROUP, "app-parses", of_file(_parses), each_host),
    Check(GROUP, "app-boots", of_file(_boots), each_host),
    Check(GROUP, "app-url", _reached, each_host),
    Check(GROUP, "app-hooks", of_file(_hooks), each_host),
)
