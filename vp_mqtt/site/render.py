"""The texts of a provisioned site: settings, the broker's configuration, and install scripts."""

from __future__ import annotations

import json
import shlex
from importlib import resources
from string import Template

from vp_mqtt.site.accounts import FIRST_FUSION, Account, fusion_name
from vp_mqtt.site.plan import BrokerPlan, CameraPlan, SitePlan, WebPlan

_FILES = resources.files("vp_mqtt.site") / "files"
_CONNECTIONS_PER_ACCOUNT = 4
"""A node has two while it fetches a bundle; a broken one lingers until its keepalive expires."""
_SPARE_CONNECTIONS = 20
_LEAST_QUEUE = 100
_QUEUE_PER_RETAINED = 2
_LEAST_QUEUE_BYTES = 33_554_432
_BYTES_PER_QUEUED = 1024

SHARED_CA = "ca.crt"
BUNDLE = "bundle"
BUNDLE_KEY = "bundle.pub"
PAGE_PASSWORDS = "page.passwords"
METRICS_TOKEN = "metrics.token"  # noqa: S105 (the file's name)
SIGNING_KEY = "signing.key"
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


def broker_address(broker: BrokerPlan) -> str:
    """Return the broker's HOST:PORT, with commas between several."""
    hosts = (f"[{host}]" if ":" in host else host for host in broker.hosts)
    return ",".join(f"{host}:{broker.port}" for host in hosts)


def template(name: str, **values: str) -> str:
    """Return one of the package's template files with its `$NAME`s replaced."""
    return Template((_FILES / name).read_text(encoding="utf-8")).substitute(values)


def unit(name: str, writes: str | None = None) -> bytes:
    """Return a systemd unit, such as `vp-camera.service`.

    Args:
        name: of its file.
        writes: a folder that the service may write to, beside its own.
    """
    text = (_FILES / "systemd" / name).read_text(encoding="utf-8")
    if writes is not None:
        text = text.replace("ProtectSystem=strict\n", f"ProtectSystem=strict\nReadWritePaths={writes}\n")
    return text.encode()


def unit_file(account: Account) -> str:
    """Return the file name of the unit that runs a node."""
    return "vp-node@.service" if account.role == "variant" else account.unit


def login(site: str, broker: BrokerPlan, account: Account, plan: str = "site.toml") -> list[str]:
    """Return the lines of an account's settings file that say how to log in at the broker.

    Args:
        site: the site's name.
        broker: of the site.
        account: of a node or a person.
        plan: name of the plan's file.
    """
    file = account.file
    return [
        f"# Settings of '{account.name}' of the site '{site}', written by `vp site provision`: change {plan},",
        "# not this file. It names files beside it.",
        *_table(
            {
                "broker": f"mqtts://{broker_address(broker)}",
                "site": site,
                "name": None if account.board is None else account.name,
                "username": account.name,
                "password_file": f"{file}.password",
                "ca_file": SHARED_CA,
                "cert_file": f"{file}.crt",
                "key_file": f"{file}.key",
            }
        ),
    ]


def settings(plan: SitePlan, account: Account, bundle: str) -> str:
    """Return an account's settings file.

    Args:
        plan: the site's plan.
        account: of a node or a person.
        bundle: what a node runs until one is pushed: the name of a built-in bundle, or a folder beside the settings.
    """
    # Nodes switch to every bundle that is pushed.
    family = {BUNDLE: "auto", "fallback": bundle, "bundle_key": BUNDLE_KEY if plan.bundle_key else None}
    lines = login(plan.name, plan.broker, account)
    if account.role == "camera":
        lines += ["", "[camera]", *_table(_camera(next(c for c in plan.cameras if c.name == account.camera)))]
    cameras = [name for camera in plan.cameras for name in camera.names()]
    if account.role == "variant":
        board = next(board for board in plan.boards if board.name == account.board)
        lines += [
            "",
            "[variant]",
            *_table(
                {
                    "variant": account.variant,
                    "replica": account.variant in plan.replicas or None,
                    **family,
                    "cameras": cameras,
                    "threads": board.threads,
                }
            ),
        ]
    if account.role == "web" and plan.web is not None:
        lines += ["", "[web]", *_table(_web(plan.web))]
    if account.is_node:
        fusion = _fusion(plan, account, {**family, "cameras": cameras}) if account.role == "fusion" else {}
        # Other nodes work without the deadline, but `vp site doctor` compares their speed with it.
        lines += ["", "[fusion]", *_table({"deadline_ms": plan.deadline_ms, **fusion})]
    return "\n".join([*lines, ""])


def _fusion(plan: SitePlan, account: Account, family: dict[str, object]) -> dict[str, object]:
    members = [fusion_name(plan, board) for board in plan.fusion.all_boards()]
    return {
        **family,
        "shard": True if plan.fusion.shards else None,
        "shard_members": members if plan.fusion.shards else None,
        "home_assistant": True if plan.fusion.home_assistant and account.name == FIRST_FUSION else None,
        **plan.fusion.state_settings(),
    }


def _camera(camera: CameraPlan) -> dict[str, object]:
    return {
        "camera": camera.name,
        "source": camera.source if camera.source_file is None else None,
        "source_file": None if camera.source_file is None else SOURCE,
        "fps": camera.fps,
        "size": camera.size,
        "quality": camera.quality,
        "encode": camera.encode,
        "frame_side": camera.frame_side,
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


def _web(web: WebPlan) -> dict[str, object]:
    return {
        "listen": web.listen,
        "allowed_hosts": web.allowed_hosts or None,
        "passwords_file": None if web.passwords_file is None else PAGE_PASSWORDS,
        "metrics_token_file": None if web.metrics_token_file is None else METRICS_TOKEN,
        "history_days": web.history_days,
        "history_mb": web.history_mb,
        "teach": web.teach,
        "teach_from": web.teach_from,
        "queue_frames": web.queue_frames,
        "queue_mb": web.queue_mb,
        "sign": None if web.sign is None else SIGNING_KEY,
    }


def queue_limits(retained: int) -> dict[str, str]:
    """Return how much may wait for a client of a broker that retains so many messages: all of them, and live ones."""
    queued = max(_LEAST_QUEUE, _QUEUE_PER_RETAINED * retained)
    return {"queued": str(queued), "queued_bytes": str(max(_LEAST_QUEUE_BYTES, _BYTES_PER_QUEUED * queued))}


def mosquitto(name: str, broker: BrokerPlan, *, accounts: int, retained: int) -> str:
    """Return Mosquitto's configuration.

    Args:
        name: of the site, or of the head office.
        broker: its broker.
        accounts: how many accounts it has.
        retained: how many messages it retains, bundles aside: a new subscriber is sent all of them at once.
    """
    return template(
        "mosquitto.conf",
        site=name,
        port=str(broker.port),
        bind=f" {broker.bind}" if broker.bind else "",
        state=_folder(broker.state),
        connections=str(_CONNECTIONS_PER_ACCOUNT * accounts + _SPARE_CONNECTIONS),
        **queue_limits(retained),
    )


def _folder(path: str) -> str:
    return path if path.endswith("/") else path + "/"


def broker_install(name: str, broker: BrokerPlan) -> str:
    """Return the install script of a broker of the site, or head office, of this name."""
    return template("install-broker.sh", site=name, state=_folder(broker.state), address=broker_address(broker))


def board_install(
    plan: SitePlan, board: str, *, package: str, units: list[str], settings: list[str], folders: list[str]
) -> str:
    """Return a board's install script.

    Args:
        plan: the site's plan.
        board: the board's name.
        package: file name of the wheel in the board's folder.
        units: the systemd units that the board runs.
        settings: names of what is in the board's folder of settings.
        folders: that the services write to, beside their own.
    """
    return template(
        "install-board.sh",
        site=plan.name,
        board=board,
        package=shlex.quote(package),
        units=" ".join(units),
        settings=" ".join(map(shlex.quote, settings)),
        folders=" ".join(folders) or '""',
    )
