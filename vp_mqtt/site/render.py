"""The texts of a provisioned site: settings, the broker's configuration, and install scripts."""

from __future__ import annotations

import json
import shlex
from importlib import resources
from string import Template

from vp_mqtt.site.accounts import Account
from vp_mqtt.site.plan import CameraPlan, SitePlan

_FILES = resources.files("vp_mqtt.site") / "files"
_CONNECTIONS_PER_ACCOUNT = 4
"""A node has two while it fetches a bundle; a broken one lingers until its keepalive expires."""
_SPARE_CONNECTIONS = 20

SHARED_CA = "ca.crt"
BUNDLE = "bundle"
BUNDLE_KEY = "bundle.pub"
SOURCE = "camera.source"
"""File with the address of a camera, if it holds a password."""


def toml_value(value: object) -> str:
    """Return a string, number, boolean, or list of these as TOML."""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, except for the character DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _table(values: dict[str, object]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in values.items() if value is not None]


def broker_address(plan: SitePlan) -> str:
    """Return the broker's HOST:PORT."""
    host = f"[{plan.broker.host}]" if ":" in plan.broker.host else plan.broker.host
    return f"{host}:{plan.broker.port}"


def template(name: str, **values: str) -> str:
    """Return one of the package's template files with its `$NAME`s replaced."""
    return Template((_FILES / name).read_text(encoding="utf-8")).substitute(values)


def unit(name: str) -> bytes:
    """Return a systemd unit, such as `vp-camera.service`."""
    return (_FILES / "systemd" / name).read_bytes()


def unit_file(account: Account) -> str:
    """Return the file name of the unit that runs a node."""
    return "vp-node@.service" if account.role == "variant" else account.unit


def settings(plan: SitePlan, account: Account, bundle: str) -> str:
    """Return an account's settings file.

    Args:
        plan: the site's plan.
        account: of a node or a person.
        bundle: what a node runs until one is pushed: the name of a built-in bundle, or a folder beside the settings.
    """
    # Nodes switch to every bundle that is pushed.
    family = {BUNDLE: "auto", "fallback": bundle, "bundle_key": BUNDLE_KEY if plan.bundle_key else None}
    file = account.file
    lines = [
        f"# Settings of '{account.name}' of the site '{plan.name}', written by `vp site provision`: change site.toml,",
        "# not this file. It names files beside it.",
        *_table(
            {
                "broker": f"mqtts://{broker_address(plan)}",
                "site": plan.name,
                "name": None if account.board is None else account.name,
                "username": account.name,
                "password_file": f"{file}.password",
                "ca_file": SHARED_CA,
                "cert_file": f"{file}.crt",
                "key_file": f"{file}.key",
            }
        ),
    ]
    if account.role == "camera":
        lines += ["", "[camera]", *_table(_camera(next(c for c in plan.cameras if c.name == account.camera)))]
    if account.role == "variant":
        board = next(board for board in plan.boards if board.name == account.board)
        lines += ["", "[variant]", *_table({"variant": account.variant, **family, "threads": board.threads})]
    if account.board is not None:
        home = plan.fusion.home_assistant or None
        cameras = [name for camera in plan.cameras for name in camera.names()]
        states = plan.fusion.state_settings()
        fusion = {**family, "cameras": cameras, "home_assistant": home, **states} if account.role == "fusion" else {}
        # Other nodes work without the deadline, but `vp site doctor` compares their speed with it.
        lines += ["", "[fusion]", *_table({"deadline_ms": plan.deadline_ms, **fusion})]
    return "\n".join([*lines, ""])


def _camera(camera: CameraPlan) -> dict[str, object]:
    return {
        "camera": camera.name,
        "source": camera.source if camera.source_file is None else None,
        "source_file": None if camera.source_file is None else SOURCE,
        "fps": camera.fps,
        "size": camera.size,
        "quality": camera.quality,
        "rotate": camera.rotate or None,
        "mirror": camera.mirror or None,
        "region": [str(region) for region in camera.regions] or None,
        "motion_gate": camera.motion_gate or None,
        "motion_threshold": camera.motion_threshold,
        "motion_area": camera.motion_area,
        "motion_region": None if camera.motion_region is None else str(camera.motion_region),
        "motion_hold": camera.motion_hold,
        "heartbeat": camera.heartbeat,
    }


def mosquitto(plan: SitePlan, accounts: int) -> str:
    """Return Mosquitto's configuration for a site with `accounts` accounts."""
    return template(
        "mosquitto.conf",
        site=plan.name,
        port=str(plan.broker.port),
        bind=f" {plan.broker.bind}" if plan.broker.bind else "",
        state=_folder(plan.broker.state),
        connections=str(_CONNECTIONS_PER_ACCOUNT * accounts + _SPARE_CONNECTIONS),
    )


def _folder(path: str) -> str:
    return path if path.endswith("/") else path + "/"


def broker_install(plan: SitePlan) -> str:
    """Return the broker's install script."""
    return template("install-broker.sh", site=plan.name, state=_folder(plan.broker.state), address=broker_address(plan))


def board_install(plan: SitePlan, board: str, package: str, units: list[str]) -> str:
    """Return a board's install script.

    Args:
        plan: the site's plan.
        board: the board's name.
        package: file name of the wheel in the board's folder.
        units: the systemd units that the board runs.
    """
    return template(
        "install-board.sh",
        site=plan.name,
        board=board,
        package=shlex.quote(package),
        units=" ".join(units),
    )
