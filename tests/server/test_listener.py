from __future__ import annotations

import asyncio
import os
import socket
import stat
from contextlib import asynccontextmanager

import pytest

from phlows_cli.errors import ListenError
from phlows_cli.server.listener import NOTSENT_LOWAT, Listeners
from tests.server.serving import Client, Serving, http

pytestmark = pytest.mark.usefixtures("loop_factory")


@asynccontextmanager
async def listening(*listen, port=0, **settings):
    """Open listeners, and where they listen."""
    scene = Serving(server={"listen": listen, "port": port}, **settings)
    listeners = Listeners()
    await listeners.open(scene.front)
    try:
        yield listeners
    finally:
        await listeners.close()
        scene.front.abort_all()
        await asyncio.sleep(0)


async def status(reader, writer, request=None):
    """The status of an answer on a connection, which is then closed."""
    client = Client(reader, writer)
    answer = await client.ask(request or http("/ready"))
    writer.transport.abort()
    return answer.status


async def refusal(*listen, port=0):
    """Why addresses cannot all be listened at."""
    listeners = Listeners()
    scene = Serving(server={"listen": listen, "port": port})
    with pytest.raises(ListenError) as caught:
        await listeners.open(scene.front)
    return str(caught.value)


@pytest.fixture
def taken():
    """A port that another process listens at."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


async def test_it_listens_at_every_address_and_names_them():
    async with listening("127.0.0.1", "127.0.0.2", "::1") as listeners:
        first, second, third = listeners.addresses
        assert first.startswith("http://127.0.0.1:")
        assert second.startswith("http://127.0.0.2:")
        assert third.startswith("http://[::1]:")
        for host, address in (("127.0.0.1", first), ("127.0.0.2", second), ("::1", third)):
            port = int(address.rpartition(":")[2])
            assert await status(*await asyncio.open_connection(host, port)) == 200


async def test_an_ipv4_client_of_an_ipv6_address_has_its_own_listener():
    async with listening("0.0.0.0") as four:
        port = int(four.addresses[0].rpartition(":")[2])
        async with listening("::", port=port) as six:
            assert six.addresses == [f"http://[::]:{port}"]


async def test_a_stalled_client_keeps_little_unsent_in_the_kernel():
    async with listening("127.0.0.1") as listeners:
        port = int(listeners.addresses[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = Client(reader, writer)
        assert (await client.ask(http("/ready"))).status == 200
        (server,) = listeners._accepting
        sock = server.sockets[0]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_LOWAT
        writer.transport.abort()


async def test_a_system_without_that_option_is_served_as_well(monkeypatch):
    monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
    async with listening("127.0.0.1") as listeners:
        assert len(listeners.addresses) == 1


async def test_after_close_nobody_is_let_in():
    async with listening("127.0.0.1") as listeners:
        port = int(listeners.addresses[0].rpartition(":")[2])
        await listeners.close()
        await listeners.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


# Unix sockets


async def test_a_unix_socket_is_for_owner_and_group_and_is_removed_at_the_end(tmp_path):
    path = tmp_path / "phlows.sock"
    umask = os.umask(0)
    try:
        async with listening(f"unix:{path}", bridge={"allow_unix": True}) as listeners:
            assert listeners.addresses == [f"unix:{path}"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert os.umask(0) == 0, "the umask is as before"
            assert await status(*await asyncio.open_unix_connection(str(path))) == 200
    finally:
        os.umask(umask)
    assert not path.exists()


async def test_a_unix_peer_needs_the_key_unless_bridge_allow_has_unix(tmp_path):
    path = tmp_path / "phlows.sock"
    async with listening(f"unix:{path}"):
        assert await status(*await asyncio.open_unix_connection(str(path))) == 401


async def test_a_socket_file_that_nobody_listens_at_is_replaced(tmp_path):
    path = tmp_path / "phlows.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with listening(f"unix:{path}", bridge={"allow_unix": True}):
        assert await status(*await asyncio.open_unix_connection(str(path))) == 200


async def test_a_socket_file_that_somebody_listens_at_is_left_alone(tmp_path):
    path = tmp_path / "phlows.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "another process listens there" in await refusal(f"unix:{path}")
    assert path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    assert "is not a socket" in await refusal(f"unix:{path}")
    assert path.read_text() == "data"


async def test_a_socket_file_that_is_another_ones_by_now_is_not_removed(tmp_path):
    path = tmp_path / "phlows.sock"
    async with listening(f"unix:{path}"):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


async def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    message = await refusal(f"unix:{tmp_path}/missing/phlows.sock")
    assert message == (
        f"unix:{tmp_path}/missing/phlows.sock is in a folder that is not there: "
        "make the folder first"
    )


# What cannot be


async def test_a_port_in_use_is_an_error_that_says_what_to_do(taken):
    message = await refusal("127.0.0.1", port=taken)
    assert message == (
        f"127.0.0.1 port {taken} is in use: stop the other process, or set another server.port"
    )


async def test_an_address_of_another_machine_is_an_error():
    message = await refusal("192.0.2.1")
    assert message == ("192.0.2.1 port 0 is not an address of this machine: mend server.listen")


async def test_a_name_that_is_no_address_is_an_error(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await refusal("no.such.host") == (
        "server.listen 'no.such.host': Name or service not known: "
        "mend server.listen, or how names are found"
    )


async def test_when_one_address_cannot_be_bound_none_is(taken, tmp_path):
    path = tmp_path / "phlows.sock"
    # The first to be had at one address, and a port of nobody's at the other: held from here on.
    with socket.create_server(("127.0.0.1", 0)) as held:
        free = held.getsockname()[1]
        await refusal("127.0.0.2", f"unix:{path}", "127.0.0.1", port=free)
    with socket.create_server(("127.0.0.2", free)):
        pass
    assert not path.exists()


async def test_when_one_address_of_a_name_cannot_be_bound_none_is(taken, monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.2", taken)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", taken)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert "is in use" in await refusal("two.addresses", port=taken)
    monkeypatch.undo()
    with socket.create_server(("127.0.0.2", taken)):
        pass
