"""Files that are made for a person: printed, written, or as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.output import emit, note
from phlows_cli.errors import ConfigError, PhlowsError, UsageError

if TYPE_CHECKING:
    from phlows_cli.config import Config

_PLAIN: Final = re.compile(r"[\w./@%+,:=~ -]+")


@dataclass(frozen=True, slots=True)
class File:
    """A file's place on the machine that it is for, and its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """What the file is called, without its folder."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files, what to type once they are in their places, and what to mind."""

    files: tuple[File, ...]
    commands: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The bundle as `--json` has it."""
        files = [{"path": file.path, "text": file.text} for file in self.files]
        return {"files": files, "commands": list(self.commands), "remarks": list(self.remarks)}


def deliver(bundle: Bundle, places: dict[str, Path], *, as_json: bool, is_forced: bool) -> None:
    """Print a bundle, or write its files.

    Args:
        bundle: what was made.
        places: file name -> where to write it; empty: it is printed.
        as_json: whether the answer is JSON.
        is_forced: whether files that exist are written over.

    Raises:
        UsageError: a file exists, and then none is written.
    """
    _refuse_existing(places, is_forced=is_forced)
    for file in bundle.files if places else ():
        _write(places[file.name], file.text, is_forced=is_forced)
    written = [str(place) for place in places.values()]
    answer = bundle.as_json() | ({"written": written} if written else {})
    printed = "\n".join(file.text for file in bundle.files).removesuffix("\n")
    emit(answer, as_json, lambda: f"wrote {', '.join(written)}" if written else printed)
    if as_json:
        return
    for remark in bundle.remarks:
        note(f"note: {remark}")
    if written:
        commands = [*_moves(bundle, places), *bundle.commands]
        note("next:\n" + "\n".join(f"  {command}" for command in commands))


def _moves(bundle: Bundle, places: dict[str, Path]) -> list[str]:
    """The commands that bring files to where they belong, if they are elsewhere."""
    from shlex import join

    return [
        join(["install", "-m", "0644", str(places[file.name]), file.path])
        for file in bundle.files
        if places[file.name].absolute() != Path(file.path)
    ]


def _refuse_existing(places: dict[str, Path], *, is_forced: bool) -> None:
    for place in places.values():
        if place.exists() and not is_forced:
            raise UsageError(f"{place} exists: give --force to write over it")


def _write(place: Path, text: str, *, is_forced: bool) -> None:
    from phlows_cli.whole_file import rewrite

    def change(before: bytes | None) -> bytes:
        if before is not None and not is_forced:
            raise UsageError(f"{place} exists: give --force to write over it")
        return text.encode()

    rewrite(place, change)


def places_in(folder: str | None, bundle: Bundle) -> dict[str, Path]:
    """Say where each file of a bundle goes below a folder, which is made.

    Raises:
        PhlowsError: the folder cannot be made.
    """
    if folder is None:
        return {}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhlowsError(f"--output {folder}: {error.strerror}") from None
    return {file.name: Path(folder) / file.name for file in bundle.files}


def plain(text: str, what: str) -> str:
    """Return a text that means the same in every file that is made.

    Raises:
        UsageError: it has characters that would need quoting in some.
    """
    if _PLAIN.fullmatch(text):
        return text
    raise UsageError(
        f"{what} {text!r} cannot be written into such a file: "
        "use letters, digits, blanks and ./@%+,:=~_- there"
    )


def word(text: str, what: str) -> str:
    """Return a name of a service or a user.

    Raises:
        UsageError: it is none.
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", text):
        return text
    raise UsageError(f"{what} {text!r} is not a name: use letters, digits, _ . and -, at most 64")


def existing_config(explicit: str | None) -> tuple[Config, Path]:
    """Load the configuration that the files are made for; its absolute path.

    Raises:
        ConfigError: there is none, or it has a problem.
    """
    from phlows_cli.config import find_config, load_config

    path = find_config(explicit)
    if path is None:
        raise ConfigError("there is no config file: `phlows config init` writes one")
    return load_config(path), path.absolute()
