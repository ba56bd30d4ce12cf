from __future__ import annotations

import pytest

from phlows_cli.address import bridge_url


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (["127.0.0.1"], "http://127.0.0.1:3001"),
        (["192.0.2.7", "127.0.0.1"], "http://192.0.2.7:3001"),
        (["localhost"], "http://localhost:3001"),
        (["::1"], "http://[::1]:3001"),
        (["0.0.0.0"], "http://127.0.0.1:3001"),
        (["::"], "http://[::1]:3001"),
        (["unix:/run/phlows.sock", "127.0.0.1"], "http://127.0.0.1:3001"),
        (["unix:/run/phlows.sock"], "unix:/run/phlows.sock"),
    ],
)
def test_the_bridge_is_reached_at_the_first_address_that_a_client_can_use(listen, url):
    assert bridge_url(listen, 3001) == url
