"""The demo's page: `vp web` as one more process."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.errors import UserError
from vp_mqtt.local.node_processes import NodeProcesses
from vp_mqtt.local.ports import free_port, is_free

_START_S = 20.0
_POLL_S = 0.1
_ANSWER_S = 2.0


def start(nodes: NodeProcesses, listen: str, history: Path) -> str:
    """Start the page, wait until it answers, and say where it is.

    Args:
        nodes: the demo's.
        listen: its address and port, of this machine; another port is used if that one is taken.
        history: folder of its history.

    Returns:
        The page's address.

    Raises:
        UserError: the address is not one of this machine alone, or the page does not start.
    """
    try:
        address = ListenAddress.parse(listen)
    except ValueError as error:
        raise UserError(f"--listen {error}") from None
    if not address.is_local:
        raise UserError(f"--listen {listen}: the demo's page is for this machine only; see `vp web` for others")
    port = address.port if address.port and is_free(address.port) else free_port()
    host = f"[{address.host}]" if ":" in address.host else address.host
    nodes.start(
        "page", "web", "--listen", f"{host}:{port}", "--history", str(history), "--teach", str(history / "teach")
    )
    url = f"http://{host}:{port}/"
    _wait(nodes, url)
    # Standard output may be for JSON.
    sys.stderr.write(f"the page is at {url}\n")
    sys.stderr.flush()
    return url


def _wait(nodes: NodeProcesses, url: str) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if (failed := nodes.failed()) is not None:
            raise UserError(f"a node of the demo ended: {failed}")
        try:
            with urllib.request.urlopen(f"{url}static/icon.svg", timeout=_ANSWER_S):  # noqa: S310 (our own address)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
    raise UserError(f"the page did not answer within {_START_S:g} s")
