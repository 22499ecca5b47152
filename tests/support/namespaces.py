"""Every board of a site in its own network namespace, on one bridge, as on a switch. Needs root on Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.emulation.network import NoNetworkError, private_network

BROKER_ADDRESS = "10.78.0.1"
_OWN_ADDRESS = "10.78.0.254"


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoNetworkError(f"{command[0]} is not installed: apt-get install iproute2") from None
    except subprocess.CalledProcessError as error:
        raise NoNetworkError(f"{' '.join(command)}: {error.stderr.strip()}") from None


def namespace_of(place: str) -> str:
    """Return the name of the namespace of a board or of the broker."""
    return f"vp{os.getpid()}-{place}"


@contextmanager
def switched(places: Sequence[str]) -> Iterator[None]:
    """Give "broker" BROKER_ADDRESS and every board an address, each in a namespace; this process is on the bridge too.

    Raises:
        NoNetworkError: this machine does not allow it; the message says why.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoNetworkError("network namespaces need root on Linux")
    with private_network(), ExitStack() as stack:
        _run("ip", "link", "add", "vpbr", "type", "bridge")
        _run("ip", "address", "add", f"{_OWN_ADDRESS}/24", "dev", "vpbr")
        _run("ip", "link", "set", "vpbr", "up")
        for number, place in enumerate(places):
            namespace, near = namespace_of(place), f"vp{number}"
            address = BROKER_ADDRESS if place == "broker" else f"10.78.0.{number + 10}"
            _run("ip", "netns", "add", namespace)
            stack.callback(_run, "ip", "netns", "delete", namespace)
            _run("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _run("ip", "link", "set", near, "master", "vpbr", "up")
            inside = ("ip", "netns", "exec", namespace, "ip")
            _run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
            _run(*inside, "link", "set", "eth0", "up")
            _run(*inside, "link", "set", "lo", "up")
        yield
