"""`vp site provision`: writes a folder for every board, one for the broker, and one for each person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, builtin_bundles
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.errors import UserError
from vp_mqtt.site import passwords, render
from vp_mqtt.site.accounts import BOARDS, PEOPLE, Account, access_rules, accounts, folder_of
from vp_mqtt.site.atomic_folder import PROGRAM, PUBLIC, SECRET, Changes, Content, locked, write
from vp_mqtt.site.package import REQUIREMENTS, find_wheel, requirements
from vp_mqtt.site.pki import Authority, KeyPair, new_authority, validity
from vp_mqtt.site.plan import SitePlan
from vp_mqtt.site.problems import plan_bundle, problems

_AUTHORITY = "authority"
_KEEP_OUT_OF_GIT = b"# Keys and passwords: not for a repository.\n*\n"
BROKER = "broker"
_SECRET_LIMIT = 1024


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
    """Collects the files of a site; keys and passwords that exist and are still valid are kept."""

    def __init__(self, plan: SitePlan, root: Path, *, rotate: frozenset[str], now: dt.datetime) -> None:
        self._plan = plan
        self._root = root
        self._rotate = rotate
        self._now = now
        self._valid = validity(now, plan.certificate_days)
        self.files: dict[str, Content] = {}
        self.weak: list[str] = []

    def _kept(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None

    def _kept_pair(self, stem: str) -> KeyPair | None:
        certificate, key = self._kept(f"{stem}.crt"), self._kept(f"{stem}.key")
        return None if certificate is None or key is None else KeyPair(certificate, key)

    def _add_pair(self, stem: str, pair: KeyPair) -> None:
        self.files[f"{stem}.crt"] = Content(pair.certificate)
        self.files[f"{stem}.key"] = Content(pair.key, SECRET)

    def authority(self) -> tuple[Authority, bytes]:
        """Return the site's authority, created if there is none, and its certificate."""
        stem = f"{_AUTHORITY}/ca"
        pair = self._kept_pair(stem)
        if pair is None:
            if any((self._root / f"{stem}{suffix}").exists() for suffix in (".crt", ".key")):
                raise UserError(
                    f"{self._root / _AUTHORITY}: ca.crt and ca.key belong together and one is missing; put it back, "
                    "or remove both to give every board new certificates"
                )
            pair = new_authority(self._plan.name, self._now)
        try:
            authority = Authority(pair)
        except ValueError as error:
            raise UserError(f"{self._root / _AUTHORITY}: ca.crt and ca.key are not usable: {error}") from None
        self._add_pair(stem, pair)
        return authority, pair.certificate

    def password(self, account: Account, stem: str) -> str:
        """Return an account's password: the existing one, whoever chose it, or a new one."""
        kept = self._kept(f"{stem}.password")
        try:
            password = (kept or b"")[:_SECRET_LIMIT].decode().rstrip("\r\n")
        except UnicodeDecodeError:
            password = ""
        password = password or passwords.generate()
        reason = passwords.weakness(password, account.name)
        if reason is not None:
            self.weak.append(f"weak password in {stem}.password: {reason}")
        self.files[f"{stem}.password"] = Content(password.encode() + b"\n", SECRET)
        return password

    def account(self, account: Account, authority: Authority, ca: bytes, bundle: str) -> str:
        """Add an account's settings, key and password; return the password."""
        folder = folder_of(account)
        stem = f"{folder}/{account.file}"
        if account.board in self._rotate or account.name in self._rotate:
            kept_pair, password = None, passwords.generate()
            self.files[f"{stem}.password"] = Content(password.encode() + b"\n", SECRET)
        else:
            kept_pair, password = self._kept_pair(stem), self.password(account, stem)
        if kept_pair is None or not authority.is_valid(kept_pair, [account.name], self._now):
            kept_pair = authority.client(account.name, self._valid)
        self._add_pair(stem, kept_pair)
        self.files[f"{folder}/{render.SHARED_CA}"] = Content(ca)
        # The camera's names its source, which may hold a password.
        mode = SECRET if account.role == "camera" else PUBLIC
        self.files[f"{stem}.toml"] = Content(render.settings(self._plan, account, bundle).encode(), mode)
        return password

    def broker(self, authority: Authority, ca: bytes, all_accounts: Sequence[Account], secrets: dict[str, str]) -> None:
        """Add the broker's folder."""
        broker = self._plan.broker
        names = [broker.host, *broker.names]
        stem = f"{BROKER}/server"
        pair = None if BROKER in self._rotate else self._kept_pair(stem)
        if pair is None or not authority.is_valid(pair, names, self._now):
            pair = authority.server(names, self._valid)
        self._add_pair(stem, pair)
        lines = (self._kept(f"{BROKER}/passwords") or b"").decode(errors="replace").splitlines()
        kept = {line.partition(":")[0]: line for line in lines}
        stored = [
            kept[name] if passwords.matches(kept.get(name, ""), name, password) else passwords.entry(name, password)
            for name, password in secrets.items()
        ]
        self.files |= {
            f"{BROKER}/passwords": Content("".join(f"{line}\n" for line in stored).encode(), SECRET),
            f"{BROKER}/access": Content(access_rules(all_accounts).encode()),
            f"{BROKER}/{render.SHARED_CA}": Content(ca),
            f"{BROKER}/mosquitto.conf": Content(render.mosquitto(self._plan, len(all_accounts)).encode()),
            f"{BROKER}/limits.nft": Content(render.template("limits.nft", port=str(self._plan.broker.port)).encode()),
            f"{BROKER}/vp.conf": Content(render.template("vp.conf").encode()),
            f"{BROKER}/install.sh": Content(render.broker_install(self._plan).encode(), PROGRAM),
        }

    def board(self, name: str, nodes: Sequence[Account], bundle: Bundle | None, base: Path) -> None:
        """Add a board's systemd units, its part of the bundle, and its install script."""
        folder = f"{BOARDS}/{name}"
        for node in nodes:
            file = render.unit_file(node)
            self.files[f"{folder}/units/{file}"] = Content(render.unit(file))
        if bundle is not None and any(node.role != "camera" for node in nodes):
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
        self.files[f"{folder}/{REQUIREMENTS}"] = Content(requirements(wheel))
        units = [node.unit for node in nodes]
        script = render.board_install(self._plan, name, wheel.name, units)
        self.files[f"{folder}/install.sh"] = Content(script.encode(), PROGRAM)

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
        return found


def _is_generated(path: Path) -> bool:
    return (
        path.suffix in {".toml", ".pub", ".password", ".source", ".key", ".crt", ".service", ".whl"}
        or path.parent.name == render.BUNDLE
    )


def provision(
    plan: SitePlan, base: Path, root: Path, *, rotate: frozenset[str] = frozenset(), now: dt.datetime
) -> Provisioned:
    """Write a site's folders; files that exist and are still valid are kept.

    Args:
        plan: the site's plan.
        base: folder that relative paths in the plan start from.
        root: the folder to write.
        rotate: boards, people, or "broker", which get new keys and passwords.
        now: with time zone.

    Raises:
        UserError: the plan has problems, or the folder cannot be written; it is unchanged then.
    """
    wrong = problems(plan, base)
    if wrong:
        more = f" (and {len(wrong) - 1} more: `vp site check`)" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}")
    all_accounts = accounts(plan)
    known = {board.name for board in plan.boards} | {person.name for person in plan.people} | {BROKER}
    for name in sorted(rotate - known):
        raise UserError(f"--rotate {name}: there is no such board; there are: {', '.join(sorted(known))}")
    bundle = None if plan.bundle in builtin_bundles() else plan_bundle(plan, base)
    with locked(root):
        work = _Provisioner(plan, root, rotate=rotate, now=now)
        authority, ca = work.authority()
        place = plan.bundle if bundle is None else render.BUNDLE
        secrets = {one.name: work.account(one, authority, ca, place) for one in all_accounts}
        work.broker(authority, ca, all_accounts, secrets)
        for board in plan.boards:
            work.board(board.name, [one for one in all_accounts if one.board == board.name], bundle, base)
        work.files[".gitignore"] = Content(_KEEP_OUT_OF_GIT)
        changes = write(root, work.files, work.obsolete())
    return Provisioned(changes, tuple(work.weak))
