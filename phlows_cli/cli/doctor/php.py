"""PHP: whether it is there, what its start costs, and opcache."""

from __future__ import annotations

import json
from typing import Any, Final

from phlows_cli.cli.doctor.check import Case, Check, Result, fail, ok, skip, warn
from phlows_cli.cli.doctor.programs import run
from phlows_cli.errors import PhlowsError

GROUP: Final = "PHP"

OLDEST: Final = (8, 1)
"""The version that phlows.php needs, as its composer.json says."""

STARTS: Final = 5
SLOW_START: Final = 0.1
COSTLY: Final = ("xdebug", "pcov", "blackfire", "newrelic", "ddtrace", "tideways", "grpc")

_FACTS: Final = """
echo json_encode([
    "version" => PHP_VERSION, "sapi" => PHP_SAPI, "zts" => PHP_ZTS,
    "extensions" => array_merge(get_loaded_extensions(), get_loaded_extensions(true)),
    "ini" => php_ini_loaded_file() ?: "",
    "opcache" => ini_get("opcache.enable_cli"), "file_cache" => ini_get("opcache.file_cache"),
    "jit" => ini_get("opcache.jit"), "jit_buffer" => ini_get("opcache.jit_buffer_size"),
]);
"""


def runs_php(case: Case, runtime: str = "") -> bool:
    """Whether a host's app is PHP, and run in this way."""
    return any(
        host.app.lower().endswith(".php") and not host.is_url and runtime in ("", host.runtime)
        for host in case.config.hosts.values()
    )


def _facts(case: Case) -> dict[str, Any]:
    """Ask PHP about itself.

    Raises:
        PhlowsError: it does not run, or says something else.
    """
    php = case.config.interpreters.php
    try:
        told = run([php, "-d", "display_errors=stderr", "-r", _FACTS], case.timeout)
        facts = json.loads(told.stdout[told.stdout.index("{") :])
    except OSError as error:
        raise PhlowsError(f"{php} does not run: {error.strerror}") from None
    except ValueError:
        raise PhlowsError(f"{php} does not answer as PHP does: {told.words[:100]}") from None
    if not isinstance(facts, dict):
        raise PhlowsError(f"{php} does not answer as PHP does")
    return facts


def _found(case: Case, _subject: str) -> Result:
    php = case.config.interpreters.php
    hint = "`apt install php-cli` (macOS: `brew install php`), or set interpreters.php"
    if not php:
        if runs_php(case):
            return fail("there is no php on PATH, and apps need it", hint)
        return skip("there is no php on PATH, and no app needs it")
    try:
        facts = _facts(case)
    except PhlowsError as error:
        return (fail if runs_php(case) else warn)(str(error), hint)
    version, sapi = str(facts["version"]), facts["sapi"]
    if sapi != "cli":
        return fail(f"{php} is PHP's {sapi}, not its command line", hint)
    seen = f"{php}, version {version}{', thread-safe' if facts['zts'] else ''}"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return fail(seen, f"phlows.php needs PHP {OLDEST[0]}.{OLDEST[1]} or newer")
    return ok(seen)


def _start(case: Case, _subject: str) -> Result:
    php = case.config.interpreters.php
    if not php:
        return skip("there is no php")
    whole, bare = _middle(case, [php, "-r", ""]), _middle(case, [php, "-n", "-r", ""])
    seen = (
        f"{whole * 1000:.0f} ms a start, {bare * 1000:.0f} ms of it without php.ini and extensions"
    )
    if whole < SLOW_START:
        return ok(seen)
    if not runs_php(case, "oneshot"):
        return ok(f"{seen}; no one-shot app pays it")
    return warn(
        f"{seen}: a one-shot app pays it for every event",
        'turn off extensions that it does not need (`php -m`), or set runtime = "resident"',
    )


def _middle(case: Case, command: list[str]) -> float:
    took = sorted(run(command, case.timeout).seconds for _ in range(STARTS))
    return took[STARTS // 2]


def _extensions(case: Case, _subject: str) -> Result:
    if not case.config.interpreters.php:
        return skip("there is no php")
    facts = _facts(case)
    names = [str(name) for name in facts["extensions"]]
    heavy = [name for name in names if name.lower() in COSTLY]
    seen = f"{len(set(names))} extensions"
    if not heavy:
        return ok(f"{seen}, none that is known to be slow")
    return warn(
        f"{seen}; {', '.join(sorted(set(heavy)))} slows every start and call",
        f"`phpdismod -s cli {heavy[0].lower()}`, or comment it out in {facts['ini'] or 'php.ini'}",
    )


def _opcache(case: Case, _subject: str) -> Result:
    if not case.config.interpreters.php or not runs_php(case, "oneshot"):
        return skip("no one-shot PHP app: a resident worker compiles its code once anyway")
    facts = _facts(case)
    if not any("opcache" in str(name).lower() for name in facts["extensions"]):
        return warn(
            "opcache is not loaded: code is compiled for every event", "install php-opcache"
        )
    is_on = str(facts["opcache"]).lower() in ("1", "on", "true", "yes")
    if is_on and facts["file_cache"]:
        return ok(f"compiled code is kept in {facts['file_cache']}")
    lines = "opcache.enable_cli=1 and opcache.file_cache=/var/cache/phlows (a folder of its user)"
    if is_on:
        return warn(
            "opcache.enable_cli is on without opcache.file_cache: it is filled anew for"
            " every event",
            f"set {lines} in {facts['ini'] or 'php.ini'}",
        )
    return warn(
        "opcache.enable_cli is off: a one-shot app is compiled for every event",
        f"set {lines} in {facts['ini'] or 'php.ini'}",
    )


def _jit(case: Case, _subject: str) -> Result:
    if not case.config.interpreters.php:
        return skip("there is no php")
    facts = _facts(case)
    buffer, mode = str(facts["jit_buffer"] or "0"), str(facts["jit"] or "off").lower()
    is_on = buffer not in ("0", "") and mode not in ("0", "off", "disable")
    is_used = str(facts["opcache"]) in ("1", "on")
    if is_on and is_used and runs_php(case, "oneshot"):
        return warn(
            f"JIT is on ({mode}, {buffer}): one-shot apps end before it pays",
            f"set opcache.jit=off in {facts['ini'] or 'php.ini'}",
        )
    return ok("JIT is off" if not (is_on and is_used) else f"JIT is on ({mode}), for resident apps")


CHECKS: Final = (
    Check(GROUP, "php", _found),
    Check(GROUP, "php-start", _start),
    Check(GROUP, "php-extensions", _extensions),
    Check(GROUP, "opcache", _opcache),
    Check(GROUP, "jit", _jit),
)
