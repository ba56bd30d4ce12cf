from __future__ import annotations

import errno
import os
import stat

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.server import key as module
from phlows_cli.server.key import key_place, load_key

NOTHING = {}


def test_a_missing_key_is_made_for_the_owner_alone_and_read_again(tmp_path):
    path = tmp_path / "state" / "deep" / "key"
    umask = os.umask(0)
    try:
        key = load_key(path, NOTHING)
    finally:
        os.umask(umask)
    assert len(key) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_key(path, NOTHING) == key


def test_two_brokers_make_different_keys(tmp_path):
    assert load_key(tmp_path / "a", NOTHING) != load_key(tmp_path / "b", NOTHING)


def test_the_key_in_a_file_is_taken_without_the_blanks_around_it(tmp_path):
    (tmp_path / "key").write_text("  my-key\n\n")
    assert load_key(tmp_path / "key", NOTHING) == "my-key"


def test_the_environment_wins_and_no_file_is_made(tmp_path):
    path = tmp_path / "key"
    assert load_key(path, {"PHLOWS_KEY": " from-outside\n"}) == "from-outside"
    assert not path.exists()
    path.write_text("in-the-file")
    assert load_key(path, {"PHLOWS_KEY": "from-outside"}) == "from-outside"
    assert load_key(path, {"PHLOWS_KEY": " "}) == "in-the-file"


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file_is_an_error_that_says_what_to_do(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"key is empty: remove it and a new key is made"):
        load_key(path, NOTHING)


@pytest.fixture
def another_broker(monkeypatch):
    """Writes a text to the key's place just before it is opened here."""

    def is_quicker_with(text):
        real_open = os.open

        def late_open(path, flags, mode):
            other = real_open(path, flags, mode)
            os.write(other, text)
            os.close(other)
            return real_open(path, flags, mode)

        monkeypatch.setattr(module.os, "open", late_open)

    return is_quicker_with


def test_the_key_that_another_broker_made_meanwhile_is_taken(tmp_path, another_broker):
    another_broker(b"theirs\n")
    assert load_key(tmp_path / "key", NOTHING) == "theirs"


def test_a_key_that_another_broker_has_yet_to_write_is_never_taken_empty(tmp_path, another_broker):
    another_broker(b"")
    with pytest.raises(ConfigError, match="is empty"):
        load_key(tmp_path / "key", NOTHING)


def test_a_place_that_cannot_be_written_is_an_error_that_names_the_settings(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "key"
    with pytest.raises(ConfigError, match=r"set bridge\.key_file or server\.state_dir") as caught:
        load_key(path, NOTHING)
    assert str(path) in str(caught.value)


def test_a_folder_in_the_keys_place_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"bridge\.key_file"):
        load_key(tmp_path, NOTHING)


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        load_key(tmp_path / "key", NOTHING)


def test_the_place_of_the_key_is_told_as_it_is_found(tmp_path):
    path = tmp_path / "key"
    assert key_place(path, NOTHING) == str(path)
    assert key_place(path, {"PHLOWS_KEY": " "}) == str(path)
    assert key_place(path, {"PHLOWS_KEY": "from-outside"}) == "PHLOWS_KEY"


@pytest.mark.parametrize("key", ["a b", "schlüssel", "a\tb", "a\nb", "a\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_wherever_it_is(tmp_path, key):
    path = tmp_path / "key"
    path.write_text(key, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"/key must be printable ASCII without blanks: set another one$"
    ):
        load_key(path, NOTHING)
    with pytest.raises(ConfigError, match=r"^the key in PHLOWS_KEY must be printable ASCII") as no:
        load_key(path, {"PHLOWS_KEY": key})
    assert key not in str(no.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_that_others_can_use_is_a_warning_and_no_error(tmp_path, caplog, mode):
    path = tmp_path / "key"
    path.write_text("my-key")
    path.chmod(mode)
    assert load_key(path, NOTHING) == "my-key"
    (record,) = caplog.records
    assert "the key file can be used by other users: chmod 600" in record.message
    assert (record.file, record.mode) == (str(path), f"{mode:04o}")


def test_a_key_file_of_the_owner_alone_is_no_warning(tmp_path, caplog):
    load_key(tmp_path / "key", NOTHING)
    load_key(tmp_path / "key", NOTHING)
    assert caplog.records == []


def test_a_key_that_could_not_be_written_leaves_no_empty_file(tmp_path, monkeypatch):
    def full(_descriptor):
        os.close(_descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_key", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        load_key(tmp_path / "state" / "key", {})
    assert list((tmp_path / "state").iterdir()) == []
