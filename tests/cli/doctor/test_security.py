from __future__ import annotations

import os

import pytest

HOST = '[hosts."app.test"]\napp = "app.py"\n'


@pytest.mark.parametrize(
    ("mode", "text", "status"), [(0o600, "key", "ok"), (0o644, "key", "fail"), (0o600, "", "fail")]
)
def test_a_key_is_its_users_alone(look, case, tmp_path, mode, text, status):
    given = case()
    key = tmp_path / "state" / "key"
    key.write_text(text)
    key.chmod(mode)
    result = look("key-file", given)
    assert result.status == status
    assert (f"chmod 600 {key}" in result.hint) == (mode == 0o644)


def test_a_key_that_is_not_made_yet_or_in_the_environment_is_ok(look, case, monkeypatch):
    assert "will be made" in look("key-file", case()).message
    monkeypatch.setenv("PHLOWS_KEY", "secret")
    result = look("key-file", case())
    assert (result.status, "secret" in result.message) == ("ok", False)


def test_a_host_s_own_key_counts_too(look, case, tmp_path):
    key = tmp_path / "own.key"
    key.write_text("own")
    key.chmod(0o640)
    result = look("key-file", case(f'{HOST}key_file = "own.key"'))
    assert (result.status, str(key) in result.message) == ("fail", True)


def test_a_key_of_another_user_is_told(look, case, tmp_path, monkeypatch):
    given = case()
    (tmp_path / "state" / "key").write_text("key")
    (tmp_path / "state" / "key").chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    owner = (tmp_path / "state" / "key").stat().st_uid
    assert look("key-file", given).status == ("ok" if owner == 0 else "warn")


@pytest.mark.parametrize(
    ("allow", "status"),
    [("127.0.0.0/8", "ok"), ("10.0.0.0/8", "warn"), ("0.0.0.0/0", "fail"), ("8.8.8.8", "fail")],
)
def test_who_may_cast_without_a_key(look, case, allow, status):
    assert look("bridge-allow", case(f'[bridge]\nallow = ["{allow}"]')).status == status


@pytest.mark.parametrize(("proxy", "status"), [("10.0.0.0/8", "ok"), ("0.0.0.0/0", "fail")])
def test_who_is_believed_to_be_a_proxy(look, case, proxy, status):
    assert look("trusted-proxies", case(server=f'trusted_proxies = ["{proxy}"]')).status == status


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("", "ok"),
        ('origins = ["*"]', "fail"),
        ('origins = ["*"]\ntoken_cookie = ""', "ok"),
        ('origins = ["https://b.test"]', "ok"),
        ('origins = ["http://b.test"]', "warn"),
        ('origins = ["http://localhost:8080"]', "ok"),
    ],
)
def test_whose_pages_may_open_sockets(look, case, more, status):
    given = case(HOST + more, publics=("https://app.test",))
    assert look("origins", given, "app.test").status == status


def test_http_pages_are_no_matter_where_the_site_is_http(look, case):
    given = case(HOST + 'origins = ["http://b.test"]', publics=("http://app.test",))
    assert look("origins", given, "app.test").status == "ok"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("", "ok"),
        ('auth = "upgrade"', "ok"),
        ('auth = "upgrade"\ntoken_cookie = ""', "fail"),
        ('token_cookie = ""', "ok"),
        ('token_cookie = "_ga"', "warn"),
        ('hooks = ["connect"]', "ok"),
    ],
)
def test_where_the_token_comes_from(look, case, more, status):
    assert look("cookie", case(HOST + more), "app.test").status == status


@pytest.mark.parametrize(
    ("mode", "more", "status"),
    [
        (0o644, "", "ok"),
        (0o666, "", "fail"),
        (0o644, 'env = { PASSWORD = "x" }', "warn"),
        (0o640, 'env = { PASSWORD = "x" }', "ok"),
        (0o644, 'env = { APP_ENV = "x" }', "ok"),
    ],
)
def test_who_can_read_and_change_the_configuration(look, case, tmp_path, mode, more, status):
    given = case(HOST + more)
    (tmp_path / "phlows.toml").chmod(mode)
    assert look("config-file", given).status == status
