"""`vp site doctor`: on a board, finds what is wrong between its nodes and the site, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import CommonSettings, FamilySettings, FusionSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site import board_checks, broker_checks
from vp_mqtt.site.finding import CheckError, Finding

INSTALLED = Path("/etc/vp-mqtt")
"""Where `install.sh` puts a board's settings."""

_NEED_CONNECTION = {"port", "TLS", "account", "status"}
_CONNECTION = {"host name", "port", "TLS", "account"}


def settings_files(folder: Path) -> list[tuple[Path, type[CommonSettings]]]:
    """Return the settings files of a board's nodes, each with its model.

    Raises:
        UserError: there are none.
    """
    found: list[tuple[Path, type[CommonSettings]]] = [
        *((path, CameraSettings) for path in folder.glob("camera.toml")),
        *((path, VariantSettings) for path in sorted(folder.glob("node-*.toml"))),
        *((path, FusionSettings) for path in folder.glob("fusion.toml")),
    ]
    if not found:
        raise UserError(f"{folder}: no camera.toml, node-N.toml or fusion.toml there; name the folder with --settings")
    return found


def examine(path: Path, model: type[CommonSettings]) -> Iterator[Finding]:
    """Check everything that one node needs.

    Args:
        path: the node's settings file. The current folder must be its own, since it names files beside it.
        model: the settings in it.
    """
    try:
        settings = load(model, {}, path)
        settings.read_password()
    except UserError as error:
        yield Finding(path.stem, "settings", False, str(error), "fix site.toml, provision again, and copy the folder")
        return
    node = settings.node_name()
    yield Finding(node, "settings", True, f"{path.name} is valid")
    failed: str | None = None
    for what, check in _checks(settings, path):
        if failed is not None and what in _NEED_CONNECTION:
            yield Finding(node, what, None, f"not checked: fix the {failed} first")
            continue
        try:
            verdict = check()
        except CheckError as error:
            yield Finding(node, what, False, error.verdict, error.remedy)
            if what in _CONNECTION:
                failed = what
            continue
        yield Finding(node, what, None if verdict is None else True, verdict or "cannot be found out here")


def _checks(settings: CommonSettings, path: Path) -> list[tuple[str, Callable[[], str | None]]]:
    """Return the checks of a node, each with its subject, in the order in which they are made."""
    options = settings.broker_options()
    checks: list[tuple[str, Callable[[], str | None]]] = [
        ("host name", lambda: broker_checks.of_any(options, lambda one: broker_checks.host_name(one.host, one.port))),
        ("port", lambda: broker_checks.of_any(options, lambda one: broker_checks.port(one.host, one.port))),
        ("TLS", lambda: broker_checks.of_any(options, broker_checks.tls)),
        ("clock", board_checks.clock),
        ("account", lambda: broker_checks.account(settings)),
        ("service", lambda: board_checks.service(settings)),
        ("status", lambda: broker_checks.status(settings)),
    ]
    if isinstance(settings, CameraSettings):
        checks.append(("camera", lambda: board_checks.camera(settings)))
    if isinstance(settings, FamilySettings):
        checks.append(("bundle", lambda: board_checks.bundle(settings)))
    if isinstance(settings, VariantSettings):
        deadline_ms = load(FusionSettings, {}, path).deadline_ms
        checks.append(("speed", lambda: board_checks.speed(settings, deadline_ms)))
    return checks
