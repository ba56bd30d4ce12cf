from __future__ import annotations

import json
import shutil
import time

import pytest

from phlows_cli.cli.doctor import certificates
from tests.certs import EXPIRED, ONE, TWO
from tests.cli.doctor.serving import https


@pytest.fixture
def with_tls(case, tmp_path):
    """A case with a certificate and its key, which nobody else may read."""

    def make(pair, host="app.test", **changes):
        key = tmp_path / "key.pem"
        shutil.copy(pair[1], key)
        key.chmod(0o600)
        server = f'tls_cert = "{pair[0]}"\ntls_key = "{key}"'
        return case(f'[hosts."{host}"]\nhooks = []', server, **changes)

    return make


def test_a_certificate_that_the_system_trusts_is_ok(look, with_tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ONE[0]))
    result = look("tls-certificate", with_tls(ONE))
    assert (result.status, "more days" in result.message) == ("ok", True)


def test_a_chain_that_nobody_trusts_is_told(look, with_tls):
    result = look("tls-certificate", with_tls(ONE))
    assert (result.status, "fullchain.pem" in result.hint) == ("warn", True)


def test_a_certificate_that_has_ended_is_a_failure(look, with_tls):
    result = look("tls-certificate", with_tls(EXPIRED))
    assert (result.status, "has expired" in result.message) == ("fail", True)


def test_a_certificate_of_another_name_is_told(look, with_tls):
    result = look("tls-certificate", with_tls(ONE, "other.test"))
    assert (result.status, "is not for other.test" in result.message) == ("warn", True)


def test_a_key_of_another_certificate_is_a_failure(look, with_tls):
    assert look("tls-certificate", with_tls((ONE[0], TWO[1]))).status == "fail"


def test_a_key_that_everyone_can_read_is_a_failure(look, with_tls, tmp_path):
    given = with_tls(ONE)
    (tmp_path / "key.pem").chmod(0o644)
    result = look("tls-certificate", given)
    assert (result.status, "chmod o-rwx" in result.hint) == ("fail", True)


def test_without_a_certificate_there_is_nothing_to_look_at(look, case):
    assert look("tls-certificate", case()).status == "skip"


@pytest.mark.parametrize(("days", "status"), [(90, "ok"), (13.5, "warn"), (1, "warn")])
def test_an_end_that_is_near_is_told(days, status):
    assert certificates._by_its_end(lasting(90, days), "x").status == status


@pytest.mark.parametrize(
    ("life", "left", "status", "words"),
    [
        (0.5, 0.45, "ok", "good for 10.8 more hours, made for 12 hours"),
        (0.5, 0.04, "warn", "more hours, made for 12 hours"),
        (6.5, 3.01, "ok", "good for 3 more days, made for 6 days"),
        (6.5, 0.5, "warn", "good for 12 more hours"),
    ],
)
def test_a_certificate_for_hours_is_judged_by_the_share_that_is_left(life, left, status, words):
    result = certificates._by_its_end(lasting(life, left), "x")
    assert result.status == status
    assert words in result.message
    assert "certbot" not in result.hint


def lasting(life, left):
    """What a certificate says of its time, in days."""
    end = time.time() + left * 86_400
    times = {"notBefore": end - life * 86_400, "notAfter": end + 1}
    shown = "%b %d %H:%M:%S %Y GMT"
    return {name: time.strftime(shown, time.gmtime(at)) for name, at in times.items()}


def test_a_wildcard_is_for_one_level():
    facts = {"subjectAltName": (("DNS", "*.test"), ("DNS", "B.other"))}
    names = ("a.test", "b.other", "a.b.test", "test")
    assert [certificates._is_for(facts, name) for name in names] == [True, True, False, False]


def test_the_public_certificate_is_verified(look, case, monkeypatch):
    with https(ONE) as port:
        result = look("public-certificate", case(), f"https://127.0.0.1:{port}")
        assert (result.status, "self-signed" in result.message) == ("fail", True)
        monkeypatch.setenv("SSL_CERT_FILE", str(ONE[0]))
        result = look("public-certificate", case(), f"https://127.0.0.1:{port}")
        assert (result.status, "more days" in result.message) == ("ok", True)
        result = look("public-certificate", case(), f"https://localhost:{port}")
        assert (result.status, "mismatch" in result.message) == ("fail", True)


def test_the_certificates_that_visitors_trust_can_be_named(look, case, phlows, config):
    config("app.test")
    with https(ONE) as port:
        address = f"https://127.0.0.1:{port}"
        assert look("public-certificate", case(ca=str(ONE[0])), address).status == "ok"
        assert look("public-certificate", case(ca=str(TWO[0])), address).status == "fail"
        own = ("--public", address, "--only", "network", "--json")
        told = phlows("doctor", *own, "--ca", str(ONE[0]))
    found = {one["name"]: one["status"] for one in json.loads(told.stdout)["checks"]}
    assert found["public-certificate"] == "ok"
    assert phlows("doctor", "--ca", "none.pem").exit_code == 2


def test_an_expired_public_certificate_is_a_failure(look, case, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(EXPIRED[0]))
    with https(EXPIRED) as port:
        result = look("public-certificate", case(), f"https://127.0.0.1:{port}")
    assert (result.status, "expired" in result.message) == ("fail", True)


def test_an_address_without_tls_is_told(look, case):
    assert look("public-certificate", case(), "http://app.test").status == "warn"
    assert look("public-certificate", case(), "http://localhost:3001").status == "skip"
