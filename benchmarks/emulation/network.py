"""A private network: boards in a network namespace, behind a link that can be impaired. Needs root on Linux."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Self

from benchmarks.child_process import module_command
from benchmarks.emulation.impairment import Impairment

BROKER_ADDRESS = "10.77.0.1"
_LINKS = 250
_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


class NoNetworkError(Exception):
    """This machine does not allow private networks; the message says why."""


@contextmanager
def private_network() -> Iterator[None]:
    """Put this process and its children into a network namespace of their own while the context lasts.

    Raises:
        NoNetworkError: not Linux, not root, or the kernel has no network namespaces.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoNetworkError("network namespaces need root on Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    former = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise NoNetworkError(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "address", "add", f"{BROKER_ADDRESS}/32", "dev", "lo")
            yield
        finally:
            libc.setns(former, _CLONE_NEWNET)
    finally:
        os.close(former)


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise NoNetworkError(f"{command[0]} is not installed: `apt-get install iproute2 util-linux`") from None
    except subprocess.CalledProcessError as error:
        raise NoNetworkError(f"{' '.join(command)}: {error.stderr.strip()}") from None


def _checksum_in_software(interface: str) -> None:
    """Turn off checksum offloading: a packet socket would pass on packets without TCP checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        value = bytearray(struct.pack("II", _ETHTOOL_STXCSUM, 0))
        address = (ctypes.c_char * len(value)).from_buffer(value)
        request = struct.pack("16sP", interface.encode(), ctypes.addressof(address))
        fcntl.ioctl(control, _SIOCETHTOOL, request)


class BoardNetwork:
    """Boards behind a link of their own, which reach the broker at BROKER_ADDRESS. Within `private_network`."""

    def __init__(self, index: int = 0) -> None:
        """Prepare, without creating anything.

        Args:
            index: index of the link, 0..249: each board, or each group of boards, may have its own.
        """
        if not 0 <= index < _LINKS:
            raise ValueError(f"link {index}: there are 0 to {_LINKS - 1}")
        self._index = index
        self._near, self._far = f"vp-host{index}", f"vp-host{index}-far"
        self._board, self._board_far = f"vp-board{index}", f"vp-board{index}-far"
        self._holder: subprocess.Popen[bytes] | None = None
        self._link: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Create the link.

        Raises:
            NoNetworkError: a required program or permission is missing.
        """
        try:
            self._make()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _make(self) -> None:
        near, far, board_near, board_far = self._near, self._far, self._board, self._board_far
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        _run("ip", "link", "add", board_near, "type", "veth", "peer", "name", board_far)
        for interface in (near, board_near):
            _checksum_in_software(interface)
        script = "echo ready; exec cat"
        try:
            self._holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except FileNotFoundError:
            raise NoNetworkError("unshare is not installed: `apt-get install util-linux`") from None
        self._await(self._holder)
        board = self.prefix
        host_address, board_address = f"10.78.{self._index}.1", f"10.78.{self._index}.2"
        _run("ip", "link", "set", board_near, "netns", str(self._holder.pid))
        _run("ip", "address", "add", f"{host_address}/30", "dev", near)
        _run(*board, "ip", "address", "add", f"{board_address}/30", "dev", board_near)
        _run("ip", "link", "set", near, "up")
        for interface in (far, board_far):
            # Otherwise this end would answer for the host's addresses, and the boards' packets would not pass the link.
            _run("ip", "link", "set", interface, "arp", "off", "up")
        _run(*board, "ip", "link", "set", board_near, "up")
        _run(*board, "ip", "link", "set", "lo", "up")
        _run(*board, "ip", "route", "add", f"{BROKER_ADDRESS}/32", "via", host_address)
        self._link = subprocess.Popen(
            module_command("benchmarks.emulation.link", far, board_far),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._await(self._link)

    @staticmethod
    def _await(process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise NoNetworkError("the link's process did not start")

    def _end(self) -> None:
        for process in (self._link, self._holder):
            if process is not None and process.stdin is not None:
                process.stdin.close()
                process.wait()
        # The board's end is removed with its namespace, ours here, so that another link can have its name.
        for interface in (self._near, self._board_far):
            subprocess.run(["ip", "link", "delete", interface], check=False, capture_output=True)

    @property
    def prefix(self) -> list[str]:
        """The command prefix that runs a program on the boards' side."""
        if self._holder is None:
            raise NoNetworkError("the network has not been created yet")
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def impair(self, impairment: Impairment) -> None:
        """Impair the link from now on, in both directions."""
        if self._link is not None and self._link.stdin is not None:
            self._link.stdin.write(json.dumps(asdict(impairment)).encode() + b"\n")
            self._link.stdin.flush()

    def sent_bytes(self) -> int:
        """Return how many bytes the boards behind this link have sent so far, all headers included."""
        found = json.loads(_run("ip", "-json", "-statistics", "link", "show", "dev", self._board_far))
        return int(found[0]["stats64"]["rx"]["bytes"])
