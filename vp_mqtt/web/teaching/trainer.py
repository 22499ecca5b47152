"""Trains a family on the labelled pictures, sends it to the boards and takes it back: each as a job."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.config.loading import env_name
from vp_mqtt.config.settings import ENV_PREFIX
from vp_mqtt.config.web_settings import WebSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.learning_packages import missing_for_training
from vp_mqtt.web.teaching.collection import CollectionError
from vp_mqtt.web.teaching.first_push import FirstPush
from vp_mqtt.web.teaching.job import Job, JobView
from vp_mqtt.web.teaching.place import TeachFolder
from vp_mqtt.web.teaching.results import Held, Result, read_result
from vp_mqtt.web.teaching.split import clear_splits, divide, split_of
from vp_mqtt.web.teaching.teaching import Teaching

_KEPT_BUNDLES = 5
_CONNECTION = ("broker", "site", "username", "ca_file", "cert_file", "key_file", "keepalive", "sign")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_REFUSED = "not authorized"
"""What MQTT 5 calls it, in the log of a push."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a bundle that was sent.

    Attributes:
        bundle: its name.
        taken: boards that run it.
        others: those that do not, in words.
    """

    bundle: str
    taken: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What fine-tuning has brought, on the held-out pictures.

    Attributes:
        before: what the family says that it began with.
        after: what the fine-tuned one says.
        is_kept: whether the fine-tuned one is the newest now: if it is right more often.
    """

    before: Held
    after: Held
    is_kept: bool


class Trainer:
    """One job at a time: training, sending or going back; fine-tuning runs beside those that send."""

    def __init__(
        self,
        settings: WebSettings,
        folder: TeachFolder,
        teaching: Teaching,
        *,
        running: Callable[[], str | None],
    ) -> None:
        """Prepare.

        Args:
            settings: of the page: where the broker is, and the key to sign with.
            folder: for bundles and results.
            teaching: has the pictures.
            running: returns the short digest of the bundle that the site runs; None if it is not known.
        """
        self._settings = settings
        self._folder = folder
        self._teaching = teaching
        self._running = running
        self._first = FirstPush(folder.first_push)
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._tuning: Job | None = None
        self.tuned: Tuned | None = None
        self.sent: Sent | None = None
        self.result: Result | None = None

    def open(self) -> None:
        """Read what was there before."""
        self.result = read_result(self._folder.result)

    def job(self) -> JobView | None:
        """Return the newest job as it is now; None before the first."""
        return None if self._job is None else self._job.view()

    def tuning(self) -> JobView | None:
        """Return the newest fine-tuning as it is now; None before the first."""
        return None if (job := self._tuning) is None else job.view()

    def train(self) -> None:
        """Begin to train.

        Raises:
            CollectionError: another job runs, or there are too few pictures.
            OSError: a file cannot be written, or the process cannot be started.
        """
        with self._lock:
            self._check_idle()
            self._check_not_tuning()
            stamp = _stamp()
            split = self._folder.splits / stamp
            # What the newest bundle has learnt stays until there is a newer one: this training may fail.
            clear_splits(self._folder, keep=split_of(self._folder, self.result))
            divide(self._teaching.collection, split)
            arguments = self._teach_into(stamp, split)
            before = self._bundle_of(self._running())
            if self._settings.teach_from is not None:
                arguments += ["--pretrained", self._settings.teach_from]
            if before is not None:
                arguments += ["--before", before]

            def done(text: str) -> None:
                result = as_result(json.loads(text), split)
                # Both were about the bundle before.
                self.tuned = self._tuning = None
                self._keep(result)
                clear_splits(self._folder, keep=split)

            self._begin(Job("train", arguments, on_done=done, environment=_variables()))

    def fine_tune(self) -> None:
        """Begin to fine-tune the newest bundle, on the pictures that it was taught.

        Raises:
            CollectionError: another training runs, there is no bundle, or torch is not installed.
            OSError: the process cannot be started.
        """
        with self._lock:
            self._check_idle()
            self._check_not_tuning()
            first = self.result
            split = split_of(self._folder, first)
            if first is None or split is None or not Path(first.out).is_dir() or not split.is_dir():
                raise CollectionError("train first: there is no bundle to fine-tune")
            if not can_fine_tune():
                raise CollectionError("fine-tuning needs torch on this machine")
            arguments = self._teach_into(_stamp(), split)

            def done(text: str) -> None:
                self.tuned, result = choose_better(first, json.loads(text))
                self._keep(result)

            job = Job("fine-tune", [*arguments, "--fine-tune", first.out], on_done=done, environment=_variables())
            job.start()
            self._tuning = job

    def _keep(self, result: Result) -> None:
        write_atomically(self._folder.result, result.model_dump_json(), mode=0o600)
        self.result = result
        self._clear_bundles(keep=Path(result.out))

    def _teach_into(self, stamp: str, split: Path) -> list[str]:
        """Return the arguments that make a new bundle."""
        out = self._folder.bundles / stamp
        name = _NOT_IN_NAMES.sub("-", self._settings.site.lower()).strip("-")[:40] or "own"
        return ["teach", str(split), "--out", str(out), "--name", f"{name}-{stamp}", "--json", "--progress"]

    def send(self) -> None:
        """Begin to send the newest bundle to the boards.

        Raises:
            CollectionError: another job runs, or there is no bundle.
            OSError: the process cannot be started.
            UserError: the password file cannot be read.
        """
        result = self.result
        if result is None or not Path(result.out).is_dir():
            raise CollectionError("train first: there is no bundle to send")
        self._push("send", result.out, self._bundle_of(self._running()))

    def roll_back(self) -> None:
        """Begin to return to the bundle before. Raises as `send` does."""
        self._push("roll back", self._first.before(self._running()) or "--rollback")

    def cancel(self) -> None:
        """End the job that runs."""
        if self._job is not None:
            self._job.cancel()

    def cancel_tuning(self) -> None:
        """End the fine-tuning that runs."""
        if (job := self._tuning) is not None:
            job.cancel()

    def stop(self) -> None:
        """End everything now."""
        for job in (self._job, self._tuning):
            if job is not None:
                job.stop()

    def _push(self, kind: str, what: str, before: str | None = None) -> None:
        with self._lock:
            self._check_idle()
            self.sent = None
            environment = _variables() | self._account()
            # It ends with 1 where no board has taken it, and says so.
            codes = frozenset({0, 1})
            on_done = partial(self._note_sent, before)
            self._begin(Job(kind, ["push", what, "--json"], on_done=on_done, environment=environment, good_codes=codes))

    def _note_sent(self, before: str | None, text: str) -> None:
        if not text.startswith("{"):
            raise ValueError("it was not sent")
        done = json.loads(text)
        self.sent = as_sent(done)
        self._first.note(done["digest"], done["previous"], before)

    def _begin(self, job: Job) -> None:
        job.start()
        self._job = job

    def _check_idle(self) -> None:
        if self._job is not None and self._job.view().is_running:
            raise CollectionError("another job runs: wait for it, or cancel it")

    def _check_not_tuning(self) -> None:
        if self._tuning is not None and self._tuning.view().is_running:
            raise CollectionError("fine-tuning runs: wait for it, or cancel it")

    def _bundles(self) -> list[Path]:
        return sorted(path for path in self._folder.bundles.iterdir() if path.is_dir() and path.name[0] != ".")

    def _bundle_of(self, digest: str | None) -> str | None:
        """Return the bundle with a short digest, if it is here."""
        for name in (*map(str, self._bundles()), *builtin_bundles()):
            try:
                if open_bundle(name).manifest.short_digest.hex() == digest:
                    return name
            except UserError:
                continue
        return None

    def _clear_bundles(self, keep: Path) -> None:
        """Remove the oldest bundles, and what a training that was killed has left."""
        for path in self._folder.bundles.iterdir():
            is_old = path in self._bundles()[:-_KEPT_BUNDLES] and path != keep
            if is_old or path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)

    def _account(self) -> dict[str, str]:
        """Return the settings of the connection as variables; other users cannot see those, as they can arguments."""
        values = {name: getattr(self._settings, name) for name in _CONNECTION}
        values["password"] = self._settings.read_password()
        return {env_name(name): str(value) for name, value in values.items() if value is not None}


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _variables() -> dict[str, str]:
    """Return the variables of a job: this process's, without its settings."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)}


def choose_better(first: Result, found: dict[str, Any]) -> tuple[Tuned, Result]:
    """Return what fine-tuning has brought, and the result that counts now.

    Args:
        first: of the family that was fine-tuned.
        found: what `vp teach --fine-tune --json` says. The bundle that it has written is removed if it is not better.

    Raises:
        ValueError: something is missing in it.
    """
    try:
        before, after = (
            Held.model_validate({**found[f"outcome{which}"], "interval": found[f"interval{which}"]})
            for which in ("_before", "")
        )
        changes = {name: found[name] for name in ("bundle", "digest", "out", "zoom", "seconds")}
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    if after.fused > before.fused:
        changes |= {"before": before, "after": after, "is_tuned": True}
        return Tuned(before, after, is_kept=True), first.model_copy(update=changes)
    shutil.rmtree(changes["out"], ignore_errors=True)
    return Tuned(before, after, is_kept=False), first


def as_sent(done: dict[str, Any]) -> Sent:
    """Return what `vp push --json` says for the page."""
    boards = done["boards"]
    reasons = boards["reasons"]
    others = [f"{name} not yet{f': {reasons[name]}' if name in reasons else ''}" for name in boards["waiting"]]
    others += [f"{name} is silent" for name in boards["silent"]]
    others += [f"{name} keeps '{its}'" for name, its in (boards["pinned"] | boards["fusion_pinned"]).items()]
    return Sent(str(done["bundle"]), tuple(boards["taken"]), tuple(others))


def can_fine_tune() -> bool:
    """Return whether fine-tuning is possible on this machine."""
    return not missing_for_training()


def as_result(found: dict[str, Any], split: Path) -> Result:
    """Return what `vp teach --json` says as a result.

    Args:
        found: its JSON.
        split: folder of the parts `train` and `test` that it has learnt from.

    Raises:
        ValueError: something is missing in it.
    """

    def held(outcome: dict[str, Any] | None, interval: Sequence[float] | None) -> Held | None:
        return None if outcome is None else Held.model_validate({**outcome, "interval": interval})

    try:
        doubtful = [
            {
                "file": "/".join(Path(one["picture"]).relative_to(split).parts[1:]),
                "seems": one["seems"],
                "confidence": one["confidence"],
            }
            for one in found["doubtful"]
        ]
        fields = ("bundle", "digest", "out", "classes", "pictures", "zoom", "seconds", "advice")
        return Result.model_validate(
            {name: found[name] for name in fields}
            | {
                "split": str(split),
                "cross_validated": found["cross_validated"]["fused"],
                "after": held(found["outcome"], found["interval"]),
                "before": held(found["outcome_before"], found["interval_before"]),
                "doubtful": doubtful,
            }
        )
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None


def is_refusal(job: JobView) -> bool:
    """Return whether a push failed since the broker's access rules forbid it."""
    return bool(job.problem) and any(_REFUSED in line.lower() for line in (*job.log, job.problem))
