"""The files of a provisioned folder: keys and passwords that exist and are still valid are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.site import passwords
from vp_mqtt.site.atomic_folder import SECRET, Content
from vp_mqtt.site.pki import Authority, KeyPair, new_authority, validity

_AUTHORITY = "authority"
_SECRET_LIMIT = 1024


class SecretKeeping:
    """Collects the files of a folder, with the keys and passwords that it has already.

    Attributes:
        files: what to write, by path within the folder.
        weak: accounts whose password is easy to guess, and why.
    """

    def __init__(self, root: Path, *, rotate: frozenset[str], now: dt.datetime, days: int) -> None:
        """Begin without files.

        Args:
            root: the provisioned folder.
            rotate: what gets new keys and passwords, see `vp_mqtt.site.rotation`.
            now: with time zone.
            days: how long certificates are valid.
        """
        self._root = root
        self._rotate = rotate
        self._now = now
        self._valid = validity(now, days)
        self.files: dict[str, Content] = {}
        self.weak: list[str] = []

    def kept(self, path: str) -> bytes | None:
        """Return what a file holds; None if it does not exist."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None

    def authority(self, name: str) -> tuple[Authority, bytes]:
        """Return the authority of the site of this name, created if there is none, and its certificate."""
        stem = f"{_AUTHORITY}/ca"
        pair = self._kept_pair(stem)
        if pair is None:
            if any((self._root / f"{stem}{suffix}").exists() for suffix in (".crt", ".key")):
                raise UserError(
                    f"{self._root / _AUTHORITY}: ca.crt and ca.key belong together and one is missing; put it back, "
                    "or remove both to give every board new certificates"
                )
            pair = new_authority(name, self._now)
        try:
            authority = Authority(pair)
        except ValueError:
            raise UserError(
                f"{self._root / _AUTHORITY}: ca.crt or ca.key is damaged, or they do not belong together; put both "
                "back as they were, or remove both to give every board new certificates"
            ) from None
        self._add_pair(stem, pair)
        return authority, pair.certificate

    def password(self, account: str, stem: str, rotated_as: str) -> str:
        """Return an account's password: the existing one, whoever chose it, or a new one if it is rotated.

        Args:
            account: the account's name.
            stem: path of its files, without suffix.
            rotated_as: what it is rotated with, such as its board.
        """
        is_rotated = rotated_as in self._rotate
        kept = None if is_rotated else self.kept(f"{stem}.password")
        try:
            password = (kept or b"")[:_SECRET_LIMIT].decode().rstrip("\r\n")
        except UnicodeDecodeError:
            password = ""
        password = password or passwords.generate()
        reason = passwords.weakness(password, account)
        if reason is not None and not is_rotated:
            self.weak.append(f"weak password in {stem}.password: {reason}")
        self.files[f"{stem}.password"] = Content(password.encode() + b"\n", SECRET)
        return password

    def client_pair(self, account: str, stem: str, authority: Authority, rotated_as: str) -> None:
        """Add an account's certificate and key; see `password`."""
        pair = None if rotated_as in self._rotate else self._kept_pair(stem)
        if pair is None or not authority.is_valid(pair, [account], self._now):
            pair = authority.client(account, self._valid)
        self._add_pair(stem, pair)

    def server_pair(self, stem: str, authority: Authority, names: Sequence[str], rotated_as: str) -> None:
        """Add a server's certificate, for these names, and its key."""
        pair = None if rotated_as in self._rotate else self._kept_pair(stem)
        if pair is None or not authority.is_valid(pair, names, self._now):
            pair = authority.server(names, self._valid)
        self._add_pair(stem, pair)

    def password_file(self, path: str, secrets: dict[str, str]) -> None:
        """Add a broker's file of passwords, by account, with the stored forms that still match."""
        lines = (self.kept(path) or b"").decode(errors="replace").splitlines()
        kept = {line.partition(":")[0]: line for line in lines}
        stored = [
            kept[name] if passwords.matches(kept.get(name, ""), name, password) else passwords.entry(name, password)
            for name, password in secrets.items()
        ]
        self.files[path] = Content("".join(f"{line}\n" for line in stored).encode(), SECRET)

    def _kept_pair(self, stem: str) -> KeyPair | None:
        certificate, key = self.kept(f"{stem}.crt"), self.kept(f"{stem}.key")
        return None if certificate is None or key is None else KeyPair(certificate, key)

    def _add_pair(self, stem: str, pair: KeyPair) -> None:
        self.files[f"{stem}.crt"] = Content(pair.certificate)
        self.files[f"{stem}.key"] = Content(pair.key, SECRET)
