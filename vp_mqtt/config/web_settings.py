"""Settings of the web page."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from vp_mqtt.config.fields import Folder, InputFile, as_names
from vp_mqtt.config.listen_address import ListenAddress
from vp_mqtt.config.settings import CommonSettings
from vp_mqtt.protocol.messages import Role

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_HEADER = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"


def check_listen(text: str) -> str:
    """Return an address to listen on as it is.

    Raises:
        ValueError: it is none.
    """
    ListenAddress.parse(text)
    return text


def check_host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return host names in lower case.

    Raises:
        ValueError: one is none.
    """
    lowered = tuple(name.lower().rstrip(".") for name in names if name)
    if (wrong := next((name for name in lowered if not _HOST_NAME.fullmatch(name)), None)) is not None:
        raise ValueError(f"{wrong!r} is not a host name; write the name alone, without http:// and port")
    return lowered


def _check_addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError(f"{text!r} is not an IP address") from None
    return texts


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(as_names)]


class WebSettings(CommonSettings):
    """Settings of `vp web`."""

    role: ClassVar[Role] = "web"

    listen: Annotated[str, AfterValidator(check_listen)] = Field(
        default="127.0.0.1:8321",
        description="address and port of the page; an address that others can reach needs a password "
        "(--set-password) or --trusted-proxy",
    )
    allowed_hosts: Annotated[_Names, AfterValidator(check_host_names)] = Field(
        default=(),
        description="names under which browsers may reach the page, separated by commas, beside IP addresses, "
        "localhost and this machine's own name",
    )
    passwords_file: Path | None = Field(
        default=None, description="file with the hashes of the page's passwords, which --set-password writes"
    )
    trusted_proxy: Annotated[_Names, AfterValidator(_check_addresses)] = Field(
        default=(),
        description="IP addresses of reverse proxies, separated by commas, that sign people in and name them in "
        "--proxy-header",
    )
    proxy_header: Annotated[str, Field(pattern=_HEADER)] = Field(
        default="Remote-User", description="header in which a trusted proxy names who is signed in"
    )
    operators: _Names = Field(
        default=(), description="of those that a trusted proxy names: who may change things; the others only look"
    )
    metrics_token_file: Path | None = Field(
        default=None, description="file with the token that Prometheus presents to read /metrics"
    )
    max_frame_bytes: int = Field(
        default=8_000_000, ge=1_000, le=250_000_000, description="size limit of a frame, in bytes"
    )
    history: Folder | None = Field(
        default=None, description="folder of the history of states; default: one of the user's"
    )
    history_days: float = Field(
        default=14.0, ge=0, le=36_500, description="days for which changes of states are kept; 0: none are"
    )
    history_mb: float = Field(default=500.0, ge=1, le=1e6, description="size limit of the history, in MB")
    teach: Folder | None = Field(
        default=None,
        description="folder of one's own classes: labelled pictures, frames that wait for a label, and bundles; "
        "default: one of the user's",
    )
    teach_from: str | None = Field(
        default=None,
        description="bundle (folder, or name of a bundled one) whose backbones a training starts from; default: by the "
        "size of the pictures",
    )
    queue_frames: int = Field(
        default=300, ge=0, le=10_000, description="frames that wait for a label, at most; 0: none are kept"
    )
    queue_mb: float = Field(default=200.0, ge=1, le=1e5, description="size limit of the frames that wait, in MB")
    sign: InputFile | None = Field(
        default=None, description="private key (PEM) to sign bundles with that the page sends to the boards"
    )

    @model_validator(mode="after")
    def _operators_need_a_proxy(self) -> WebSettings:
        if self.operators and not self.trusted_proxy:
            raise ValueError("--operators names people that a proxy signs in: give --trusted-proxy, too")
        return self

    @property
    def address(self) -> ListenAddress:
        """Where the page listens."""
        return ListenAddress.parse(self.listen)
