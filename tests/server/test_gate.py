"""One port for TLS and for plain HTTP from this machine."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from phlows_cli.model import HOOK_NAMES, CloseCode
from phlows_cli.server import front as front_module
from phlows_cli.server import gate as module
from phlows_cli.server.tls import Certificate
from tests.builders import HOST, make_config, make_limits
from tests.certs import ONE, TWO, trusting
from tests.server.serving import close_frame, frame, http, post, serving, upgrade

pytestmark = pytest.mark.usefixtures("loop_factory")

CAST = b'{"host":"app.test","data":{"a":1}}'


def gated(**settings):
    """A broker behind a gate."""
    return serving(certificate=Certificate(*ONE), **settings)


def tls_client(scene, **settings):
    tls = {"ssl": trusting(), "server_hostname": HOST}
    return scene.client(**tls | settings)


def gate_of(scene):
    (gate,) = scene.front.gates
    return gate


async def at_the_gate(scene, number):
    """Wait until so many connections are not through."""
    while gate_of(scene).arriving != number:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)


def drops(scene):
    return dict(scene.broker.drops.totals)


async def test_one_port_speaks_tls_and_plain_http_with_this_machine():
    async with gated(automatic=HOOK_NAMES) as scene:
        client, caster = await tls_client(scene), await scene.client()
        await client.open(cookie="token=alice")
        await scene.told("auth")
        assert (await caster.ask(post(CAST))).json["sent"] == 1
        assert await client.text() == b'{"a":1}'
        assert (await (await tls_client(scene)).ask(post(CAST))).json["sent"] == 1
        assert await client.text() == b'{"a":1}'
        plain = await (await scene.client()).open()
        assert scene.broker.connected == 2
        client.send(close_frame(1000))
        assert await client.close_code() == (1000, "")
        assert await client.rest() == b""
        plain.leave()


async def test_its_address_is_an_https_one():
    async with gated() as scene:
        assert scene.listeners.addresses == [f"https://127.0.0.1:{scene.port}"]


async def test_an_upgrade_over_tls_is_secure_so_a_page_must_be_too():
    async with gated() as scene:
        client = await tls_client(scene)
        answer = await client.ask(upgrade(origin=f"http://{HOST}"))
        assert answer.status == 403
        client = await tls_client(scene)
        assert (await client.ask(upgrade(origin=f"https://{HOST}"))).status == 101


async def test_messages_of_any_size_pass_through_tls_both_ways():
    async with gated(auth="none", automatic=["connect", "close"]) as scene:
        client = await (await tls_client(scene)).open()
        await scene.told("auth")
        big = b'["%s"]' % (b"x" * 60_000)
        client.send(frame(big))
        call = await scene.runtime.started("receive")
        assert call.hook.data.encode() == big
        call.prints(big)
        assert await client.text() == big
        call.accepts()


async def test_a_tls_client_that_does_not_read_is_a_slow_consumer():
    limits = {"send_buffer": 100_000}
    async with gated(auth="none", automatic=HOOK_NAMES, limits=limits) as scene:
        client = await (await tls_client(scene, receive_buffer=4096)).open()
        await scene.told("auth")
        client.writer.transport.pause_reading()
        caster = await scene.client()
        body = b'{"host":"app.test","data":["%s"]}' % (b"x" * 50_000)
        receipt = {"sent": 1}
        while receipt["sent"]:
            receipt = (await caster.ask(post(body))).json
        assert receipt["dropped"] == 1
        assert (await scene.told("close"))["code"] == CloseCode.SLOW_CONSUMER


async def test_the_end_of_a_tls_stream_is_a_departure():
    async with gated(auth="none", automatic=HOOK_NAMES) as scene:
        client = await (await tls_client(scene)).open()
        client.leave()
        assert (await scene.told("close"))["code"] == CloseCode.ABNORMAL


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
async def test_plain_http_is_for_this_machine_only(monkeypatch, source):
    monkeypatch.setattr(module, "is_loopback", lambda _: False)
    async with serving() as plain:
        scene = plain
        certificate = Certificate(*ONE)
        scene.listeners._certificate = certificate
        await scene.listeners.open(scene.front)
        port = int(scene.listeners.addresses[-1].rpartition(":")[2])
        opened = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        client = scene.adopt(*opened)
        answer = await client.ask(http("/ready"))
        if source == "127.0.0.1":
            assert answer.status == 200, "our own address, so it comes from here"
            return
        assert answer.status == 400
        assert answer.message == "this port speaks TLS: use https:// or wss://"
        assert drops(scene) == {"plain connection to a TLS port": 1}
        assert await client.rest() == b""


# Who does not get through


async def test_a_silent_connection_is_cut_in_time():
    async with gated() as scene:
        client = await scene.client()
        await at_the_gate(scene, 1)
        scene.pass_time(9.9)
        assert gate_of(scene).arriving == 1
        scene.pass_time(0.2)
        assert await client.rest() == b""
        assert not drops(scene), "a browser's spare connection: nothing is lost"


async def test_a_reload_changes_the_time_of_those_that_come_then():
    async with gated() as scene:
        limits = make_limits(handshake_timeout=1.0)
        config = make_config(limits=limits)
        scene.front.apply(config, scene.front.access, 1)
        client = await scene.client()
        await at_the_gate(scene, 1)
        scene.pass_time(1.1)
        assert await client.rest() == b""


async def test_one_silent_connection_too_many_cuts_the_oldest(monkeypatch):
    monkeypatch.setattr(module, "AT_THE_GATE", 2)
    async with gated() as scene:
        first = await scene.client()
        await at_the_gate(scene, 1)
        others = [await scene.client() for _ in range(2)]
        assert await first.rest() == b""
        assert drops(scene) == {"unfinished head over 1024": 1}
        for client in others:
            assert (await client.ask(http("/ready"))).status == 200


async def test_handshakes_that_do_not_end_are_bounded_as_well(monkeypatch):
    monkeypatch.setattr(module, "AT_THE_GATE", 2)
    async with gated() as scene:
        first, second = await scene.client(), await scene.client()
        first.send(b"\x16\x03\x01")
        await scene.settled_reads()
        second.send(b"\x16\x03\x01")
        await scene.settled_reads()
        await at_the_gate(scene, 2)
        third = await tls_client(scene)
        assert await first.rest() == b""
        assert drops(scene) == {"unfinished head over 1024": 1}
        assert (await third.ask(http("/ready"))).status == 200
        assert gate_of(scene).arriving == 1


async def test_a_handshake_has_its_time_too():
    async with gated(limits={"handshake_timeout": 0.05}) as scene:
        client = await scene.client()
        client.send(b"\x16\x03\x01")
        assert await client.rest() == b""
        await at_the_gate(scene, 0)
        assert drops(scene) == {"TLS handshake that failed": 1}


@pytest.mark.parametrize("garbage", [b"\x16" + b"x" * 100, b"\x16\x03\x01\x00\x04\x63\x00\x00\x00"])
async def test_garbage_in_place_of_a_handshake_ends_the_connection(garbage):
    async with gated() as scene:
        client = await scene.client()
        client.send(garbage)
        await client.rest()
        await at_the_gate(scene, 0)
        assert drops(scene) == {"TLS handshake that failed": 1}


async def test_a_client_that_does_not_trust_the_certificate_leaves_nothing():
    async with gated() as scene:
        with pytest.raises(ssl.SSLError):
            await tls_client(scene, ssl=trusting(TWO))
        await scene.settled_reads()
        await at_the_gate(scene, 0)
        assert scene.front.is_full is False


@pytest.mark.parametrize("leave", ["leave", "reset"])
async def test_a_client_that_leaves_before_its_first_byte_leaves_nothing(leave):
    async with gated() as scene:
        client = await scene.client()
        await at_the_gate(scene, 1)
        getattr(client, leave)()
        await at_the_gate(scene, 0)
        assert not drops(scene)


async def test_connections_at_the_gate_have_descriptors_and_are_counted(monkeypatch):
    monkeypatch.setattr(front_module, "RESERVED", 0)
    async with gated(limits={"max_connections": 3}) as scene:
        oldest = await scene.client()
        await at_the_gate(scene, 1)
        silent = await scene.client()
        await at_the_gate(scene, 2)
        assert scene.front.is_full, "these and the one that asks"
        third = await scene.client()
        await at_the_gate(scene, 3)
        assert not scene.front.connections, "the idle one has gone for it"
        late = await tls_client(scene)
        assert (await late.ask(http("/ready"))).status == 200
        assert await oldest.rest() == b"", "then the oldest at the gate"
        assert drops(scene) == {"idle connection, cut for a new one": 2}
        silent.leave()
        third.leave()
        await at_the_gate(scene, 0)
        assert not scene.front.is_full


async def test_with_every_descriptor_in_use_a_connection_more_is_cut(monkeypatch):
    monkeypatch.setattr(front_module, "RESERVED", 0)
    limits = {"max_connections": 1}
    async with gated(auth="none", automatic=HOOK_NAMES, limits=limits) as scene:
        await scene._probe.open()
        late = await scene.client()
        assert await late.rest() == b""
        assert drops(scene) == {"connection over the limit of descriptors": 1}


class Exhausted:
    """A listening socket whose next accept finds no descriptor."""

    def __init__(self, sock, number):
        self._sock = sock
        self._number = number

    def accept(self):
        if self._number:
            number, self._number = self._number, 0
            raise OSError(number, "no more")
        return self._sock.accept()

    def __getattr__(self, name):
        return getattr(self._sock, name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_without_a_descriptor_it_pauses_and_then_goes_on(monkeypatch, caplog, number):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    async with gated() as scene:
        gate = gate_of(scene)
        gate._sock = Exhausted(gate._sock, number)
        client = await scene.client()
        assert (await client.ask(http("/ready"))).status == 200
        (record,) = [r for r in caplog.records if r.name == "phlows.listener"]
        assert (record.message, record.reason) == ("no connection can be accepted", "no more")
        caplog.clear()


async def test_a_gate_that_is_closed_while_it_pauses_stays_closed(monkeypatch, caplog):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    async with gated() as scene:
        gate = gate_of(scene)
        gate._pause(OSError(errno.EMFILE, "no more"))
        await scene.listeners.close()
        paused = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, paused.set)
        await paused.wait()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", scene.port)
        caplog.clear()


async def test_any_other_failure_to_accept_is_not_kept_quiet():
    async with gated() as scene:
        with pytest.raises(OSError, match="strange"):
            gate_of(scene)._pause(OSError(errno.EINVAL, "strange"))


async def test_a_client_that_is_gone_before_it_is_accepted_is_nothing():
    async with gated() as scene:
        gate = gate_of(scene)
        gate._sock = Exhausted(gate._sock, errno.ECONNABORTED)
        assert (await (await scene.client()).ask(http("/ready"))).status == 200


async def test_closing_cuts_those_that_are_not_through():
    async with gated() as scene:
        silent, shaking = await scene.client(), await scene.client()
        shaking.send(b"\x16\x03\x01")
        await scene.settled_reads()
        await at_the_gate(scene, 2)
        await scene.listeners.close()
        assert gate_of(scene).arriving == 0
        assert await silent.rest() == b""
        assert await shaking.rest() == b""


async def test_ipv6_and_unix_sockets_stand_beside_it(tmp_path):
    path = tmp_path / "phlows.sock"
    server = {"listen": ("127.0.0.1", "::1", f"unix:{path}")}
    bridge = {"allow_unix": True}
    async with gated(server=server, bridge=bridge) as scene:
        unix = scene.adopt(*await asyncio.open_unix_connection(str(path)))
        assert (await unix.ask(http("/ready"))).status == 200
        six = int(scene.listeners.addresses[1].rpartition(":")[2])
        tls = {"ssl": trusting(), "server_hostname": HOST}
        client = scene.adopt(*await asyncio.open_connection("::1", six, **tls))
        assert (await client.ask(http("/ready"))).status == 200
        assert [address.partition(":")[0] for address in scene.listeners.addresses] == [
            "https",
            "https",
            "unix",
        ]


@pytest.mark.parametrize("certificate", [None, Certificate(*ONE)], ids=["plain", "gate"])
async def test_small_frames_are_sent_at_once(certificate):
    async with serving(certificate=certificate, auth="none", automatic=HOOK_NAMES) as scene:
        _, session = await scene.opened()
        sock = session.peer.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
