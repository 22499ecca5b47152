"""`vp site provision cells.toml`: a folder for the head office's broker and people, and one for each cell."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site import render
from vp_mqtt.site.accounts import PEOPLE, folder_of, retained_messages
from vp_mqtt.site.atomic_folder import Changes, Content, locked, write
from vp_mqtt.site.broker_folder import BROKER, add_broker
from vp_mqtt.site.head_accounts import bridge_stem, head_accounts
from vp_mqtt.site.head_plan import Head, head_problems
from vp_mqtt.site.login import login_settings
from vp_mqtt.site.provision import KEEP_OUT_OF_GIT, Provisioned, provision, to_rotate
from vp_mqtt.site.rotation import CELL, PERSON, resolve, rotated_as
from vp_mqtt.site.secret_keeping import SecretKeeping
from vp_mqtt.site.uplink import Uplink

HEAD = "head"
CELLS = "cells"
_CELL_SEPARATOR = "/"


def head_folder(root: Path) -> Path:
    """Return the head office's folder within the provisioned one."""
    return root / HEAD


def cell_folder(root: Path, cell: str) -> Path:
    """Return a cell's folder within the provisioned one."""
    return root / CELLS / cell


def provision_head(
    head: Head, root: Path, *, rotate: frozenset[str] = frozenset(), now: dt.datetime
) -> tuple[Provisioned, list[str]]:
    """Write the folders of a head office and of its cells; files that exist and are still valid are kept.

    Args:
        head: its plan, and those of its cells.
        root: the folder to write.
        rotate: cells, people of the head office, or "broker", which get new keys and passwords; CELL/NAME means what
            NAME means in that cell.
        now: with time zone.

    Returns:
        What was changed, and the folders of cells that are not in the plan any more.

    Raises:
        UserError: a plan has problems, or a folder cannot be written.
    """
    wrong = head_problems(head)
    if wrong:
        more = f" (and {len(wrong) - 1} more: `vp site check`)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    own, of_cells = _split(head, rotate)
    # The head office first: a run that is cut off has changed no cell's bridge before its account is known.
    done, uplinks = _provision_own(head, head_folder(root), own, now)
    results = [(HEAD, done)]
    for cell in head.cells:
        one = provision(
            cell.plan,
            cell.base,
            cell_folder(root, cell.name),
            rotate=of_cells.get(cell.name, frozenset()),
            now=now,
            uplink=uplinks[cell.name],
        )
        results.append((f"{CELLS}/{cell.name}", one))
    names = {cell.name for cell in head.cells}
    gone = [str(folder) for folder in sorted((root / CELLS).glob("[!.]*")) if folder.name not in names]
    return _together(results), gone


def head_person_settings(head: Head, root: Path, name: str) -> WatchSettings:
    """Return the settings of a person's account at the head office, from the provisioned folder.

    Raises:
        UserError: there is no such person, or the head office has not been provisioned.
    """
    account = next((one for one in head_accounts(head) if one.name == name and one.role != "cell"), None)
    if account is None:
        raise UserError(f"--account {name}: there is no such account among [[people]]")
    return login_settings(head.plan.name, head.plan.broker, account, head_folder(root) / folder_of(account))


def _split(head: Head, rotate: frozenset[str]) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    own = frozenset(name for name in rotate if _CELL_SEPARATOR not in name)
    known = {
        CELL: [cell.name for cell in head.cells],
        PERSON: [person.name for person in head.plan.people],
        BROKER: [BROKER],
    }
    of_cells: dict[str, frozenset[str]] = {}
    for name in sorted(rotate - own):
        cell, _, what = name.partition(_CELL_SEPARATOR)
        found = to_rotate(head.cell(cell).plan, frozenset({what}), bridged=True)
        of_cells[cell] = of_cells.get(cell, frozenset()) | found
    return resolve(own, known, "there is no such cell or account; a cell's board is CELL/BOARD"), of_cells


def _provision_own(
    head: Head, root: Path, rotate: frozenset[str], now: dt.datetime
) -> tuple[Provisioned, dict[str, Uplink]]:
    plan = head.plan
    accounts = head_accounts(head)
    with locked(root):
        keeping = SecretKeeping(root, rotate=rotate, now=now, days=plan.certificate_days)
        authority, ca = keeping.authority(plan.name)
        passwords: dict[str, str] = {}
        for account in accounts:
            is_cell = account.role == "cell"
            folder = folder_of(account)
            stem = bridge_stem(account.name) if is_cell else f"{folder}/{account.file}"
            owner = rotated_as(CELL if is_cell else PERSON, account.name)
            passwords[account.name] = keeping.password(account.name, stem, owner)
            keeping.client_pair(account.name, stem, authority, owner)
            if not is_cell:
                text = "\n".join([*render.login(plan.name, plan.broker, account, "cells.toml"), ""])
                keeping.files |= {f"{stem}.toml": Content(text.encode()), f"{folder}/{render.SHARED_CA}": Content(ca)}
        retained = sum(1 + retained_messages(cell.plan) for cell in head.cells)
        add_broker(
            keeping, plan.name, plan.broker, (authority, ca), accounts=accounts, passwords=passwords, retained=retained
        )
        keeping.files[".gitignore"] = Content(KEEP_OUT_OF_GIT)
        changes = write(root, keeping.files, _obsolete(root, keeping))
    uplinks = {
        cell.name: Uplink(
            head=plan.name,
            broker=plan.broker,
            labels=plan.labels,
            bundles=plan.bundles,
            ca=ca,
            certificate=keeping.files[f"{bridge_stem(cell.name)}.crt"].data,
            key=keeping.files[f"{bridge_stem(cell.name)}.key"].data,
            password=passwords[cell.name],
        )
        for cell in head.cells
    }
    return Provisioned(changes, tuple(keeping.weak)), uplinks


def _obsolete(root: Path, keeping: SecretKeeping) -> list[str]:
    people = {path.split("/")[1] for path in keeping.files if path.startswith(f"{PEOPLE}/")}
    found = [f"{PEOPLE}/{folder.name}" for folder in sorted((root / PEOPLE).glob("*")) if folder.name not in people]
    bridges = sorted((root / bridge_stem("")).glob("*"))
    found += [path for file in bridges if (path := bridge_stem(file.name)) not in keeping.files]
    return found


def _together(results: list[tuple[str, Provisioned]]) -> Provisioned:
    return Provisioned(
        Changes(
            tuple(f"{folder}/{path}" for folder, one in results for path in one.changes.written),
            tuple(f"{folder}/{path}" for folder, one in results for path in one.changes.removed),
        ),
        tuple(f"{folder}: {line}" for folder, one in results for line in one.weak),
    )
