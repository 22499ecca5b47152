"""`vp site`. Each command imports what it needs when it runs."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json as json_module
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vp_mqtt import logs
from vp_mqtt.cli.common_options import Json
from vp_mqtt.cli.site_cells import CELLS_FILE, cells, check_head, if_provisioned, plan_of_cell, provision_all
from vp_mqtt.cli.site_options import Account, Broker, Config, Out, Wait, print_report, provisioned_folder
from vp_mqtt.errors import UserError
from vp_mqtt.nodes.native_output import NATIVE_OUTPUT

HELP = "Set up a site of boards, from the plan to running nodes."
app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False)

if TYPE_CHECKING:
    from vp_mqtt.site.finding import Finding

_FILE = Path("site.toml")

File = Annotated[Path, typer.Argument(help="file of the site's plan")]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.callback()
def site() -> None:
    """Set up a site of boards, from the plan to running nodes."""


@app.command()
def init(
    *,
    file: File = _FILE,
    name: Annotated[str | None, typer.Option(help="the site's name")] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST", help="host name or IP address of the broker, or several: A,B")
    ] = None,
    boards: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="boards, each running one variant, in order")
    ] = None,
    camera: Annotated[str | None, typer.Option(metavar="BOARD", help="the board with the camera")] = None,
    source: Annotated[str | None, typer.Option(help="the camera's source, as for vp-camera --source")] = None,
    fusion: Annotated[str | None, typer.Option(metavar="BOARD", help="the board that fuses the votes")] = None,
    bundle: Annotated[str | None, typer.Option(help="the bundle: the name of a bundled one, or a folder")] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite an existing file")] = False,
) -> None:
    """Write a commented site.toml from flags, or from the answers to a few questions."""
    from vp_mqtt.site import new_plan  # noqa: PLC0415
    from vp_mqtt.site.problems import problems  # noqa: PLC0415

    if file.is_dir():
        raise UserError(f"{file}: this is a folder; name the file to write: {file / _FILE}")
    if file.exists() and not force:
        raise UserError(f"{file} exists already; change it in an editor, or overwrite it with --force")
    answers: dict[str, str] = {}
    given = {
        "name": name,
        "broker": broker,
        "boards": boards,
        "camera": camera,
        "source": source,
        "fusion": fusion,
        "bundle": bundle,
    }
    for question in new_plan.QUESTIONS:
        value = given[question.key]
        default = question.default(answers)
        if value is None and sys.stdin.isatty():
            value = typer.prompt(question.text, default=default)
        elif value is None and default is None:
            raise UserError(f"--{question.key} is missing: {question.text}")
        answers[question.key] = value if value is not None else str(default)
    plan = new_plan.write(file, answers, _names(answers["boards"]))
    for line in [*new_plan.summary(plan), *(f"to do: {problem}" for problem in problems(plan, file.absolute().parent))]:
        typer.echo(line)
    typer.echo(f"wrote {file}; review it, then: vp site check {file} && vp site provision {file}")


@app.command()
def check(
    *,
    file: File = _FILE,
    out: Out = None,
    offline: Annotated[bool, typer.Option("--offline", help="do not connect to the broker")] = False,
    json: Json = False,
) -> None:
    """Report what is wrong with a site's plan; exit code 1 if anything is."""
    from vp_mqtt.site.head_plan import is_head  # noqa: PLC0415
    from vp_mqtt.site.login import person_settings  # noqa: PLC0415
    from vp_mqtt.site.plan import read_plan  # noqa: PLC0415
    from vp_mqtt.site.problems import exposed_sources, hints, problems, unreachable, weak_passwords  # noqa: PLC0415

    if is_head(file):
        check_head(file, provisioned_folder(file, out), is_offline=offline, as_json=json)
    plan, root = read_plan(file), provisioned_folder(file, out)
    found = problems(plan, file.absolute().parent) + weak_passwords(plan, root)
    found += exposed_sources(plan, file)
    if not offline:
        found += unreachable(plan.broker, if_provisioned(lambda: person_settings(plan, root, plan.operator())))
    if json:
        report = {"site": plan.name, "ok": not found, "problems": found, "hints": hints(plan)}
        typer.echo(json_module.dumps(report))
    else:
        well = f"{file}: no problems in the plan of site '{plan.name}'"
        typer.echo("\n".join([*(found or [well]), *hints(plan)]))
    raise typer.Exit(1 if found else 0)


@app.command()
def provision(
    *,
    file: File = _FILE,
    out: Out = None,
    rotate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="issue new keys and passwords for this board or person (board:NAME or person:NAME if both have the "
            "name; of several cells: CELL/NAME); may be repeated",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a folder for every board and broker, of a site or of all cells; valid keys and passwords are kept."""
    if importlib.util.find_spec("cryptography") is None:
        raise UserError("creating certificates needs the library 'cryptography': `pip install cryptography`")
    from vp_mqtt.site.head_plan import is_head  # noqa: PLC0415
    from vp_mqtt.site.plan import read_plan  # noqa: PLC0415
    from vp_mqtt.site.provision import provision as run  # noqa: PLC0415

    root = provisioned_folder(file, out)
    now = dt.datetime.now(dt.UTC)
    rotated = frozenset(rotate or ())
    if is_head(file):
        done = provision_all(file, root, rotated, now)
        where = "head/broker/, cells/*/broker/, cells/*/bridge/ and cells/*/boards/*"
    else:
        done = run(read_plan(file), file.absolute().parent, root, rotate=rotated, now=now)
        where = "broker/ and boards/*"
    changes = done.changes
    if json:
        result = {"folder": str(root), "written": changes.written, "removed": changes.removed, "weak": done.weak}
        typer.echo(json_module.dumps(result))
        return
    for path in changes.written:
        typer.echo(f"wrote {path}")
    for path in changes.removed:
        typer.echo(f"removed {path}")
    for line in done.weak:
        typer.echo(line, err=True)
    if not changes.written and not changes.removed:
        typer.echo(f"{root}: nothing to change")
        return
    typer.echo(f"{root}: keep authority/ safe and secret; copy {where} to their machines and run install.sh")


@app.command()
def status(
    *,
    file: File = _FILE,
    out: Out = None,
    account: Account = None,
    broker: Broker = None,
    name: Annotated[str | None, typer.Option("--site", help="without a plan: the site's name")] = None,
    config: Config = None,
    cell: Annotated[
        str | None, typer.Option(metavar="NAME", help="of a head office's plan: the cell; `vp site cells` shows all")
    ] = None,
    wait: Wait = 16.0,
    json: Json = False,
) -> None:
    """Report which nodes are online and how they perform; exit code 1 if any of the plan is missing."""
    from vp_mqtt.config.loading import load  # noqa: PLC0415
    from vp_mqtt.config.settings import WatchSettings  # noqa: PLC0415
    from vp_mqtt.site.head_plan import is_head  # noqa: PLC0415
    from vp_mqtt.site.login import person_settings  # noqa: PLC0415
    from vp_mqtt.site.plan import read_plan  # noqa: PLC0415
    from vp_mqtt.site.status import heard_report, site_report  # noqa: PLC0415

    if broker is not None or name is not None or config is not None:
        flags = {field: value for field, value in (("broker", broker), ("site", name)) if value is not None}
        report = heard_report(load(WatchSettings, flags, config), wait)
    else:
        if cell is not None and file == _FILE and not file.exists():
            file = CELLS_FILE
        root = provisioned_folder(file, out)
        if cell is not None or is_head(file):
            plan, root = plan_of_cell(file, root, cell)
        else:
            plan = read_plan(
                file, "make one with `vp site init`, or name the broker: vp site status --broker URL --site NAME"
            )
        report = site_report(plan, person_settings(plan, root, account or plan.operator()), wait)
    print_report(report, json=json, is_well=not report.problems)


@app.command()
def doctor(
    *,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="folder of the board's settings (default: /etc/vp-mqtt)"),
    ] = None,
    json: Json = False,
) -> None:
    """On a board: find what is wrong between it and the site, and how to fix it; exit code 1 if anything is."""
    from vp_mqtt.site.doctor import INSTALLED, examine, settings_files  # noqa: PLC0415

    logs.set_up(json_lines=False, level="error")
    NATIVE_OUTPUT.capture()
    folder = settings or INSTALLED
    files = settings_files(folder)
    os.chdir(folder)
    findings = []
    for path, model in files:
        for finding in examine(Path(path.name), model):
            findings.append(finding)
            if not json:
                _print_finding(finding)
    is_well = all(finding.is_well is not False for finding in findings)
    if json:
        typer.echo(json_module.dumps({"ok": is_well, "findings": [asdict(finding) for finding in findings]}))
    raise typer.Exit(0 if is_well else 1)


def _print_finding(finding: Finding) -> None:
    mark = {True: "ok     ", False: "WRONG  ", None: "unknown"}[finding.is_well]
    typer.echo(f"{mark}  {finding.node}: {finding.what}: {finding.verdict}")
    if finding.remedy:
        typer.echo(f"         -> {finding.remedy}")


app.command()(cells)
