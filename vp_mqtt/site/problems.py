"""Finds what is wrong with a site's plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, builtin_bundles, open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.files import is_readable_by_others, read_text
from vp_mqtt.masking import holds_secret
from vp_mqtt.site import broker_checks
from vp_mqtt.site.accounts import accounts, folder_of
from vp_mqtt.site.finding import CheckError
from vp_mqtt.site.package import find_wheel, requirements
from vp_mqtt.site.passwords import weakness
from vp_mqtt.site.plan import SitePlan

_CONNECT_TIMEOUT_S = 3.0


def plan_bundle(plan: SitePlan, base: Path) -> Bundle:
    """Open the plan's bundle.

    Args:
        plan: the site's plan.
        base: folder that relative paths in the plan start from.

    Raises:
        UserError: there is no such bundle, or it is not valid.
    """
    return open_bundle(plan.bundle if plan.bundle in builtin_bundles() else base / plan.bundle)


def _duplicates(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def problems(plan: SitePlan, base: Path) -> list[str]:
    """Return what is wrong with a plan, one sentence each, without using the network.

    Args:
        plan: the site's plan.
        base: folder that relative paths in the plan start from.
    """
    found = [f"two boards are called '{name}': give each its own name" for name in _duplicates(_board_names(plan))]
    found += [f"two cameras are called '{name}': give each its own name" for name in _duplicates(_cameras(plan))]
    taken = {account.name for account in accounts(plan) if account.board is not None}
    people = [person.name for person in plan.people]
    found += [f"[[people]] '{name}' is listed twice" for name in _duplicates(people)]
    found += [
        f"[[people]] '{name}' is the name of a node: choose another name for the account" for name in taken & {*people}
    ]
    found += _board_problems(plan)
    found += _variant_problems(plan, base)
    if plan.bundle_key is not None and not (base / plan.bundle_key).is_file():
        found.append(f"bundle_key: there is no file {base / plan.bundle_key}: make one with `vp keygen`, name its .pub")
    found += [
        f"camera '{camera.name}': there is no file {base / camera.source_file}: write the source into it"
        for camera in plan.cameras
        if camera.source_file is not None and not (base / camera.source_file).is_file()
    ]
    try:
        requirements(find_wheel(plan.package, base))
    except UserError as error:
        found.append(f"package: {error}")
    return found + _name_problems(plan)


def _name_problems(plan: SitePlan) -> list[str]:
    """Return which cameras would share an account, whose name has no room for all of theirs."""
    cameras: dict[str, set[str]] = {}
    for account in accounts(plan):
        if account.camera is not None:
            cameras.setdefault(account.name, set()).add(account.camera)
    return [
        f"cameras {' and '.join(repr(name) for name in sorted(names))} would share the account '{account}': "
        "give them shorter names"
        for account, names in cameras.items()
        if len(names) > 1
    ]


def _board_names(plan: SitePlan) -> list[str]:
    return [board.name for board in plan.boards]


def _cameras(plan: SitePlan) -> list[str]:
    """Return the cameras' names, with those of their regions."""
    return [name for camera in plan.cameras for name in dict.fromkeys((camera.name, *camera.names()))]


def _board_problems(plan: SitePlan) -> list[str]:
    names = set(_board_names(plan))
    found = []
    if plan.fusion.board not in names:
        found.append(f"[fusion] board '{plan.fusion.board}': there is no such board among [[boards]]")
    found += [
        f"camera '{camera.name}': there is no board '{camera.board}' among [[boards]]"
        for camera in plan.cameras
        if camera.board not in names
    ]
    found += [
        f"board '{name}' has two cameras: one board runs one camera (vp-camera.service)"
        for name in _duplicates(camera.board for camera in plan.cameras)
        if name in names
    ]
    busy = {plan.fusion.board, *(camera.board for camera in plan.cameras)}
    found += [
        f"board '{board.name}' has nothing to do: give it variants, a camera or the fusion node, or remove it"
        for board in plan.boards
        if not board.variants and board.name not in busy
    ]
    return found


def _variant_problems(plan: SitePlan, base: Path) -> list[str]:
    placed: dict[int, list[str]] = {}
    for board in plan.boards:
        for variant in board.variants:
            placed.setdefault(variant, []).append(board.name)
    found = []
    for variant, boards in sorted(placed.items()):
        if len(boards) > 1:
            where = " and ".join(f"'{name}'" for name in boards)
            found.append(f"variant {variant} runs on {where}: a second one adds nothing; give it another variant")
    if not placed:
        found.append("no board runs a variant: add variants = [0] to a board")
    try:
        bundle = plan_bundle(plan, base)
    except UserError as error:
        return [*found, str(error)]
    known = len(bundle.manifest.variants)
    found += [
        f"board '{boards[0]}': variant {variant} is not in the bundle '{bundle.manifest.name}', "
        f"which has 0 to {known - 1}"
        for variant, boards in sorted(placed.items())
        if variant >= known
    ]
    for variant in sorted(v for v in placed if v < known):
        try:
            bundle.model_bytes(variant)
        except UserError as error:
            found.append(str(error))
    return found


def exposed_sources(plan: SitePlan, file: Path) -> list[str]:
    """Return the cameras whose passwords others on this machine can read, one sentence each.

    Args:
        plan: the site's plan.
        file: the plan's.
    """
    secrets = {file: [camera for camera in plan.cameras if holds_secret(camera.source)]}
    for camera in plan.cameras:
        if camera.source_file is not None:
            secrets[file.parent / camera.source_file] = [camera]
    return [
        f"camera '{camera.name}': its source holds a password, and others can read {place}: chmod 600 {place}"
        for place, cameras in secrets.items()
        for camera in cameras
        if is_readable_by_others(place)
    ]


def unreachable(plan: SitePlan) -> list[str]:
    """Try to reach the broker, and return what is wrong, if anything."""
    host, port = plan.broker.host, plan.broker.port
    try:
        broker_checks.host_name(host, port)
        broker_checks.port(host, port, timeout=_CONNECT_TIMEOUT_S)
    except CheckError as error:
        return [f"[broker] {error.verdict}: {error.remedy}"]
    return []


def weak_passwords(plan: SitePlan, root: Path) -> list[str]:
    """Return which passwords in the provisioned folder, if there is one, are easy to guess.

    Args:
        plan: the site's plan.
        root: the provisioned folder.
    """
    found = []
    for account in accounts(plan):
        path = root / folder_of(account) / f"{account.file}.password"
        try:
            password = read_text(path).rstrip("\r\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            found.append(f"{path}: cannot be read ({error})")
            continue
        reason = weakness(password, account.name)
        if reason is not None:
            found.append(f"weak password in {path}: {reason}; remove the file and provision again")
    return found
