"""`vp site provision`: writes a folder for every board, one for the broker, and one for each person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, builtin_bundles
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.errors import UserError
from vp_mqtt.site import render
from vp_mqtt.site.accounts import BOARDS, PEOPLE, Account, accounts, folder_of, retained_messages
from vp_mqtt.site.atomic_folder import PROGRAM, PUBLIC, SECRET, Changes, Content, locked, write
from vp_mqtt.site.bridge_folder import BRIDGE, add_bridge, bridge_account
from vp_mqtt.site.broker_folder import BROKER, add_broker
from vp_mqtt.site.package import REQUIREMENTS, find_wheel, requirements
from vp_mqtt.site.pki import Authority
from vp_mqtt.site.plan import SitePlan
from vp_mqtt.site.problems import plan_bundle, problems
from vp_mqtt.site.rotation import BOARD, PERSON, resolve, rotated_as
from vp_mqtt.site.secret_keeping import SecretKeeping
from vp_mqtt.site.uplink import Uplink

KEEP_OUT_OF_GIT = b"# Keys and passwords: not for a repository.\n*\n"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The result of provisioning a site.

    Attributes:
        changes: files written and removed.
        weak: accounts whose password is easy to guess, and why.
    """

    changes: Changes
    weak: tuple[str, ...]


class _Provisioner:
    """Collects the files of a site."""

    def __init__(self, plan: SitePlan, root: Path, *, rotate: frozenset[str], now: dt.datetime) -> None:
        self._plan = plan
        self._root = root
        self.keeping = SecretKeeping(root, rotate=rotate, now=now, days=plan.certificate_days)
        self.files = self.keeping.files

    def authority(self) -> tuple[Authority, bytes]:
        """Return the site's authority, created if there is none, and its certificate."""
        return self.keeping.authority(self._plan.name)

    def account(self, account: Account, authority: Authority, ca: bytes, bundle: str) -> str:
        """Add an account's settings, key and password; return the password."""
        folder = folder_of(account)
        stem = f"{folder}/{account.file}"
        owner = rotated_as(PERSON, account.name) if account.board is None else rotated_as(BOARD, account.board)
        password = self.keeping.password(account.name, stem, owner)
        self.keeping.client_pair(account.name, stem, authority, owner)
        self.files[f"{folder}/{render.SHARED_CA}"] = Content(ca)
        # The camera's names its source, which may hold a password.
        mode = SECRET if account.role == "camera" else PUBLIC
        self.files[f"{stem}.toml"] = Content(render.settings(self._plan, account, bundle).encode(), mode)
        return password

    def board(self, name: str, nodes: Sequence[Account], bundle: Bundle | None, base: Path) -> None:
        """Add a board's systemd units, its part of the bundle, and its install script."""
        folder = f"{BOARDS}/{name}"
        for node in nodes:
            file = render.unit_file(node)
            writes = self._plan.web.teach if node.role == "web" and self._plan.web is not None else None
            self.files[f"{folder}/units/{file}"] = Content(render.unit(file, writes))
        if bundle is not None and any(node.role not in {"camera", "web"} for node in nodes):
            parts = {MANIFEST_NAME: (bundle.folder / MANIFEST_NAME).read_bytes()}
            for variant in sorted(node.variant for node in nodes if node.variant is not None):
                parts[bundle.variant(variant).file] = bundle.model_bytes(variant)
            for part, data in parts.items():
                self.files[f"{folder}/settings/{render.BUNDLE}/{part}"] = Content(data)
        for camera in self._plan.cameras:
            if camera.board == name and camera.source_file is not None:
                source = (base / camera.source_file).read_bytes()
                self.files[f"{folder}/settings/{render.SOURCE}"] = Content(source, SECRET)
        if self._plan.bundle_key is not None:
            self.files[f"{folder}/settings/{render.BUNDLE_KEY}"] = Content((base / self._plan.bundle_key).read_bytes())
        wheel = find_wheel(self._plan.package, base)
        self.files[f"{folder}/{wheel.name}"] = Content(wheel.read_bytes())
        has_page = any(node.role == "web" for node in nodes)
        self.files[f"{folder}/{REQUIREMENTS}"] = Content(requirements(wheel, web=has_page))
        if has_page:
            self._add_secrets_of_page(folder, base)
        units = [node.unit for node in nodes]
        folders = [self._plan.web.teach] if has_page and self._plan.web is not None and self._plan.web.teach else []
        inside = f"{folder}/settings/"
        settings = {path.removeprefix(inside).partition("/")[0] for path in self.files if path.startswith(inside)}
        script = render.board_install(
            self._plan, name, package=wheel.name, units=units, settings=sorted(settings), folders=folders
        )
        self.files[f"{folder}/install.sh"] = Content(script.encode(), PROGRAM)

    def _add_secrets_of_page(self, folder: str, base: Path) -> None:
        web = self._plan.web
        if web is None:
            return
        given = {
            render.PAGE_PASSWORDS: web.passwords_file,
            render.METRICS_TOKEN: web.metrics_token_file,
            render.SIGNING_KEY: web.sign,
        }
        for file, named in given.items():
            if named is not None:
                self.files[f"{folder}/settings/{file}"] = Content((base / named).read_bytes(), SECRET)

    def obsolete(self) -> list[str]:
        """Return paths that an earlier plan had and this one has not: of boards, people, and nodes."""
        found = []
        for area in (BOARDS, PEOPLE):
            for folder in sorted((self._root / area).glob("*")):
                wanted = f"{area}/{folder.name}/"
                if not any(path.startswith(wanted) for path in self.files):
                    found.append(f"{area}/{folder.name}")
                    continue
                for path in sorted(folder.rglob("*")):
                    relative = path.relative_to(self._root).as_posix()
                    if path.is_file() and _is_generated(path) and relative not in self.files:
                        found.append(relative)
        # Of a site that was a cell.
        return found if f"{BRIDGE}/install.sh" in self.files else [*found, BRIDGE]


def _is_generated(path: Path) -> bool:
    return (
        path.suffix
        in {".toml", ".pub", ".password", ".passwords", ".source", ".token", ".key", ".crt", ".service", ".whl"}
        or path.parent.name == render.BUNDLE
    )


def to_rotate(plan: SitePlan, rotate: frozenset[str], *, bridged: bool) -> frozenset[str]:
    """Return what of a site is to get new keys and passwords, each as `vp_mqtt.site.rotation.rotated_as` has it.

    Args:
        plan: the site's plan.
        rotate: names, or `KIND:NAME`.
        bridged: whether its broker is bridged to a head office's.

    Raises:
        UserError: one is not known, or stands for two.
    """
    known = {BOARD: [board.name for board in plan.boards], PERSON: [person.name for person in plan.people]}
    known |= {one: [one] for one in ((BROKER, BRIDGE) if bridged else (BROKER,))}
    names = ", ".join(sorted({name for of_kind in known.values() for name in of_kind}))
    return resolve(rotate, known, f"there is no such board or account; there are: {names}")


def provision(
    plan: SitePlan,
    base: Path,
    root: Path,
    *,
    rotate: frozenset[str] = frozenset(),
    now: dt.datetime,
    uplink: Uplink | None = None,
) -> Provisioned:
    """Write a site's folders; files that exist and are still valid are kept.

    Args:
        plan: the site's plan.
        base: folder that relative paths in the plan start from.
        root: the folder to write.
        rotate: boards, people, "broker" or "bridge", which get new keys and passwords; `board:NAME` or `person:NAME`
            where two have a name.
        now: with time zone.
        uplink: the head office that its broker is bridged to, if it is a cell.

    Raises:
        UserError: the plan has problems, or the folder cannot be written; it is unchanged then.
    """
    wrong = problems(plan, base)
    if wrong:
        more = f" (and {len(wrong) - 1} more: `vp site check`)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    all_accounts = accounts(plan)
    rotate = to_rotate(plan, rotate, bridged=uplink is not None)
    bundle = None if plan.bundle in builtin_bundles() else plan_bundle(plan, base)
    with locked(root):
        work = _Provisioner(plan, root, rotate=rotate, now=now)
        authority, ca = work.authority()
        place = plan.bundle if bundle is None else render.BUNDLE
        secrets = {one.name: work.account(one, authority, ca, place) for one in all_accounts}
        if uplink is not None:
            bridge = bridge_account(plan, uplink)
            all_accounts = [*all_accounts, bridge]
            secrets[bridge.name] = add_bridge(work.keeping, plan, uplink, authority, ca)
        add_broker(
            work.keeping,
            plan.name,
            plan.broker,
            (authority, ca),
            accounts=all_accounts,
            passwords=secrets,
            retained=retained_messages(plan),
        )
        for board in plan.boards:
            work.board(board.name, [one for one in all_accounts if one.board == board.name], bundle, base)
        work.files[".gitignore"] = Content(KEEP_OUT_OF_GIT)
        changes = write(root, work.files, work.obsolete())
    return Provisioned(changes, tuple(work.keeping.weak))
