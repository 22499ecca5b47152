"""`vp site doctor`: on a board, what is wrong between it and the site, and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vp_mqtt.config.loading import load
from vp_mqtt.config.settings import CameraSettings, CommonSettings, FamilySettings, FusionSettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site import board_checks, broker_checks
from vp_mqtt.site.finding import Finding, WrongError

INSTALLED = Path("/etc/vp-mqtt")
"""Where `install.sh` puts a board's settings."""


def settings_files(folder: Path) -> list[tuple[Path, type[CommonSettings]]]:
    """Return the settings of a board's nodes, with what reads them.

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
    """Look at everything that one node needs; the current folder must be the settings' own, as they name files in it.

    Args:
        path: of the settings.
        model: what reads them.
    """
    try:
        settings = load(model, {}, path)
        settings.read_password()
    except UserError as error:
        yield Finding(path.stem, "settings", False, str(error), "mend site.toml, provision again, and copy the folder")
        return
    node = settings.node_name()
    yield Finding(node, "settings", True, f"{path.name} is valid")
    checks: list[tuple[str, Callable[[], str | None]]] = [
        ("host name", lambda: broker_checks.host_name(settings)),
        ("port", lambda: broker_checks.port(settings)),
        ("TLS", lambda: broker_checks.tls(settings)),
        ("clock", board_checks.clock),
        ("account", lambda: broker_checks.account(settings)),
    ]
    if isinstance(settings, CameraSettings):
        checks.append(("camera", lambda: board_checks.camera(settings)))
    if isinstance(settings, FamilySettings):
        checks.append(("bundle", lambda: board_checks.bundle_verdict(settings)))
    if isinstance(settings, VariantSettings):
        deadline_ms = load(FusionSettings, {}, path).deadline_ms
        checks.append(("speed", lambda: board_checks.speed(settings, deadline_ms)))
    broken: str | None = None
    for what, check in checks:
        if broken is not None and what in {"port", "TLS", "account"}:
            yield Finding(node, what, None, f"not looked at: first mend the {broken}")
            continue
        try:
            verdict = check()
        except WrongError as wrong:
            yield Finding(node, what, False, wrong.verdict, wrong.remedy)
            if what in {"host name", "port", "TLS"}:
                broken = what
            continue
        yield Finding(node, what, None if verdict is None else True, verdict or "cannot be told here")
