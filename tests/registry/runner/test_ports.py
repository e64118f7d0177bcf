from __future__ import annotations

import socket

import pytest
from envport_registry.runner.errors import PortTakenError
from envport_registry.runner.ports import choose_port


def test_a_chosen_port_can_be_bound_and_is_not_one_for_outgoing_connections():
    port = choose_port(0)
    assert 20_000 <= port < 32_000
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))


def test_a_free_port_that_is_asked_for_is_given():
    port = choose_port(0)
    assert choose_port(port) == port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_refused_with_what_to_do(host):
    with socket.socket() as server:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError) as caught:
            choose_port(port)
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is in use: choose another by --port, or leave --port out for a free one"
    )
