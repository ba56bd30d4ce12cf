"""The certificate, and another one while sockets are open."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.model import HOOK_NAMES
from phlows_cli.server.tls import Certificate
from tests.builders import HOST
from tests.certs import ONE, TWO, trusting
from tests.server.serving import frame, serving

BOTH_LOOPS = pytest.mark.usefixtures("loop_factory")


def shown(client):
    """The certificate that a client was shown."""
    return client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate[0].read_text())


@BOTH_LOOPS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [HOST, "127.0.0.1"])
async def test_another_certificate_is_for_new_clients_and_drops_no_socket(version, name):
    certificate = Certificate(*ONE)
    async with serving(certificate=certificate, auth="none", automatic=HOOK_NAMES) as scene:
        tls = {"ssl": trusting(ONE, version), "server_hostname": name}
        before = await (await scene.client(**tls)).open()
        await scene.told("auth")
        certificate.replace(Certificate(*TWO))
        with pytest.raises(ssl.SSLCertVerificationError):
            await scene.client(**tls)
        after = await scene.client(**tls | {"ssl": trusting(TWO, version)})
        assert (shown(before), shown(after)) == (der(ONE), der(TWO))
        before.send(frame(b"{}"))
        assert (await scene.told("receive"))["bytes"] == 2
        certificate.replace(Certificate(*ONE))
        assert shown(await scene.client(**tls)) == der(ONE)


@BOTH_LOOPS
async def test_http_1_1_is_what_is_spoken_to_clients_that_choose():
    async with serving(certificate=Certificate(*ONE)) as scene:
        context = trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = await scene.client(ssl=context, server_hostname=HOST)
        ssl_object = client.writer.get_extra_info("ssl_object")
        assert ssl_object.selected_alpn_protocol() == "http/1.1"


def test_nothing_older_than_tls_1_2_is_spoken():
    assert Certificate(*ONE).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_and_the_key_of_another_are_an_error():
    with pytest.raises(ConfigError, match=r"one\.pem and tls_key .*two\.key: KEY_VALUES_MISMATCH"):
        Certificate(ONE[0], TWO[1])


@pytest.mark.parametrize("text", ["", "no PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_that_is_no_certificate_is_an_error(tmp_path, text):
    file = tmp_path / "cert.pem"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"server\.tls_cert .*cert\.pem and tls_key .*one\.key: "):
        Certificate(file, ONE[1])


@pytest.mark.parametrize("files", [(Path("/nowhere.pem"), ONE[1]), (ONE[0], Path("/nowhere.key"))])
def test_a_file_that_is_not_there_is_an_error(files):
    with pytest.raises(ConfigError, match="No such file or directory"):
        Certificate(*files)
