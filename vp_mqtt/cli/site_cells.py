"""`vp site cells`, and what the other commands of `vp site` do with the plan of a head office."""

from __future__ import annotations

import datetime as dt
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.site_options import Account, Broker, Config, Out, Wait, print_report, provisioned_folder
from vp_mqtt.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vp_mqtt.config.settings import WatchSettings
    from vp_mqtt.site.plan import SitePlan
    from vp_mqtt.site.provision import Provisioned

CELLS_FILE = Path("cells.toml")


def cells(
    *,
    file: Annotated[Path, typer.Argument(help="file of the head office's plan")] = CELLS_FILE,
    out: Out = None,
    account: Account = None,
    broker: Broker = None,
    config: Config = None,
    wait: Wait = 16.0,
    json: Json = False,
) -> None:
    """At a head office: show all cells and their states at a glance; exit code 1 if any has a problem."""
    from vp_mqtt.config.loading import load  # noqa: PLC0415
    from vp_mqtt.config.settings import WatchSettings  # noqa: PLC0415
    from vp_mqtt.site.cells_report import cells_report  # noqa: PLC0415
    from vp_mqtt.site.head_plan import read_head  # noqa: PLC0415
    from vp_mqtt.site.head_provision import head_person_settings  # noqa: PLC0415

    if broker is not None or config is not None:
        flags = {} if broker is None else {"broker": broker}
        report = cells_report(load(WatchSettings, flags, config), wait)
    else:
        head = read_head(file)
        root = provisioned_folder(file, out)
        settings = head_person_settings(head, root, account or head.plan.operator())
        report = cells_report(settings, wait, [cell.name for cell in head.cells])
    print_report(report, json=json, is_well=bool(report.cells) and not report.problems)


def if_provisioned(settings: Callable[[], WatchSettings]) -> WatchSettings | None:
    """Return the settings of an account; None if it has not been provisioned."""
    try:
        return settings()
    except UserError:
        return None


def check_head(file: Path, root: Path, *, is_offline: bool, as_json: bool) -> NoReturn:
    """Report what is wrong with the plan of a head office and those of its cells, and end."""
    from vp_mqtt.site.head_plan import head_hints, head_problems, read_head  # noqa: PLC0415
    from vp_mqtt.site.head_provision import head_person_settings  # noqa: PLC0415
    from vp_mqtt.site.problems import unreachable  # noqa: PLC0415

    head = read_head(file)
    found = head_problems(head)
    if not is_offline:
        # The cells' brokers are perhaps reached from within the cells only.
        login = if_provisioned(lambda: head_person_settings(head, root, head.plan.operator()))
        found += unreachable(head.plan.broker, login)
    hints = head_hints(head)
    if as_json:
        typer.echo(json_module.dumps({"site": head.plan.name, "ok": not found, "problems": found, "hints": hints}))
    else:
        well = f"{file}: no problems in the plans of '{head.plan.name}' and its {len(head.cells)} cells"
        typer.echo("\n".join([*(found or [well]), *hints]))
    raise typer.Exit(1 if found else 0)


def provision_all(file: Path, root: Path, rotate: frozenset[str], now: dt.datetime) -> Provisioned:
    """Provision a head office and its cells, and say which folders are left of cells that are gone."""
    from vp_mqtt.site.head_plan import read_head  # noqa: PLC0415
    from vp_mqtt.site.head_provision import provision_head  # noqa: PLC0415

    done, gone = provision_head(read_head(file), root, rotate=rotate, now=now)
    for folder in gone:
        typer.echo(
            f"{folder}: not in the plan any more; its bridge's account is gone; remove the folder yourself", err=True
        )
    return done


def plan_of_cell(file: Path, root: Path, name: str | None) -> tuple[SitePlan, Path]:
    """Return a cell's plan and its provisioned folder.

    Raises:
        UserError: no cell is named, or there is none of this name.
    """
    from vp_mqtt.site.head_plan import read_head  # noqa: PLC0415
    from vp_mqtt.site.head_provision import cell_folder  # noqa: PLC0415

    if name is None:
        raise UserError(f"{file} is the plan of a head office: see all cells with `vp site cells`, or name a --cell")
    return read_head(file).cell(name).plan, cell_folder(root, name)
