"""limits.nft of the provisioned broker: one address cannot use up the broker's connections."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.emulation.network import NoNetworkError
from tests.support.namespaces import BROKER_ADDRESS, namespace_of, switched
from vp_mqtt.site.render import template

PORT = 8883
NFT = shutil.which("nft") or shutil.which("nft", path="/usr/sbin")


@pytest.fixture
def broker_namespace() -> Iterator[str]:
    if NFT is None:
        pytest.skip("NOT SHOWN: no nft here: apt-get install nftables")
    with ExitStack() as stack:
        try:
            stack.enter_context(switched(["broker"]))
        except NoNetworkError as error:
            pytest.skip(f"NOT SHOWN: {error}")
        yield namespace_of("broker")


def in_namespace(namespace: str, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ip", "netns", "exec", namespace, *command], input=text, capture_output=True, text=True, check=False
    )


def test_silent_connections_of_one_address_are_limited_and_others_still_connect(broker_namespace: str) -> None:
    assert NFT is not None
    limits = template("limits.nft", port=str(PORT))
    for _ in range(2):  # a second time it replaces what is there
        loaded = in_namespace(broker_namespace, NFT, "-f", "-", text=limits)
        if "Operation not supported" in loaded.stderr or "Protocol not supported" in loaded.stderr:
            pytest.skip(f"NOT SHOWN: this kernel has no nftables: {loaded.stderr.strip()}")
        assert (loaded.returncode, loaded.stderr) == (0, "")
    listen = "import socket, time; s = socket.create_server(('', 8883), backlog=200); print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        ["ip", "netns", "exec", broker_namespace, "python3", "-c", listen], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        opened, refused = [], 0
        for _ in range(25):
            try:
                opened.append(socket.create_connection((BROKER_ADDRESS, PORT), timeout=2))
            except (ConnectionRefusedError, TimeoutError):
                refused += 1
        assert (len(opened), refused) == (16, 9)
        for one in opened:
            one.close()
        server.kill()
