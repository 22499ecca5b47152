"""Finds what is wrong with a site's plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, builtin_bundles, open_bundle
from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import is_readable_by_others, read_text
from vp_mqtt.masking import holds_secret
from vp_mqtt.site import broker_checks
from vp_mqtt.site.accounts import accounts, folder_of
from vp_mqtt.site.finding import CheckError
from vp_mqtt.site.package import find_wheel, requirements
from vp_mqtt.site.passwords import weakness
from vp_mqtt.site.plan import BrokerPlan, SitePlan, WebPlan

_CONNECT_TIMEOUT_S = 3.0
_LONGEST_NAME = 64


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
    if plan.web is not None:
        found += _page_problems(plan.web, base)
    found += [
        f"camera '{camera.name}': there is no file {base / camera.source_file}: write the source into it"
        for camera in plan.cameras
        if camera.source_file is not None and not (base / camera.source_file).is_file()
    ]
    try:
        requirements(find_wheel(plan.package, base), web=plan.web is not None)
    except UserError as error:
        found.append(f"package: {error}")
    shortened = (one.name for one in accounts(plan) if one.camera is None and len(one.name) == _LONGEST_NAME)
    found += [f"two nodes share the account '{name}': give boards shorter names" for name in _duplicates(shortened)]
    return found + _name_problems(plan)


def _page_problems(web: WebPlan, base: Path) -> Iterator[str]:
    for setting, file, command in (
        ("passwords_file", web.passwords_file, "vp web --set-password operator --passwords-file {}"),
        ("metrics_token_file", web.metrics_token_file, "(umask 077; openssl rand -hex 32 > {})"),
        ("sign", web.sign, "vp keygen {}"),
    ):
        if file is None:
            continue
        path = base / file
        if not path.is_file():
            yield f"[web] {setting}: there is no file {path}: make it with `{command.format(path)}`"
        elif is_readable_by_others(path):
            yield f"[web] {setting}: others can read it: chmod 600 {path}"


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
    fusion = plan.fusion.all_boards()
    found += [
        f"[fusion] board '{name}': there is no such board among [[boards]]" for name in fusion if name not in names
    ]
    found += [f"[fusion] board '{name}' is named twice: one board runs one fusion node" for name in _duplicates(fusion)]
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
    if plan.web is not None and plan.web.board not in names:
        found.append(f"[web] board '{plan.web.board}': there is no such board among [[boards]]")
    page = set() if plan.web is None else {plan.web.board}
    busy = {*fusion, *page, *(camera.board for camera in plan.cameras)}
    found += [
        f"board '{board.name}' has nothing to do: give it variants, a camera or the fusion node, or remove it"
        for board in plan.boards
        if not board.variants and board.name not in busy
    ]
    return found


def _placed(plan: SitePlan) -> dict[int, list[str]]:
    """Return the boards that run each variant, each board once."""
    placed: dict[int, dict[str, None]] = {}
    for board in plan.boards:
        for variant in board.variants:
            placed.setdefault(variant, {})[board.name] = None
    return {variant: list(boards) for variant, boards in placed.items()}


def _listed_twice(plan: SitePlan) -> Iterator[str]:
    listings = [("replicas", plan.replicas), *((f"board '{board.name}'", board.variants) for board in plan.boards)]
    for where, variants in listings:
        for variant, count in Counter(variants).items():
            if count > 1:
                yield f"{where}: variant {variant} is listed more than once: name it once"


def hints(plan: SitePlan) -> list[str]:
    """Return what works in a plan but has no effect yet, one sentence each."""
    placed = _placed(plan)
    return [
        f"hint: replicas: only board '{placed[variant][0]}' runs variant {variant}: give it to another board, too, to "
        "share its frames"
        for variant in dict.fromkeys(plan.replicas)
        if len(placed.get(variant, ())) == 1
    ]


def _variant_problems(plan: SitePlan, base: Path) -> list[str]:
    placed = _placed(plan)
    found = list(_listed_twice(plan))
    for variant, boards in sorted(placed.items()):
        if len(boards) > 1 and variant not in plan.replicas:
            where = " and ".join(f"'{name}'" for name in boards)
            found.append(
                f"variant {variant} runs on {where}: a second one adds nothing; give it another variant, or let them "
                f"share its frames: replicas = [{variant}]"
            )
    if not placed:
        found.append("no board runs a variant: add variants = [0] to a board")
    idle = sorted({*plan.replicas} - placed.keys())
    try:
        bundle = plan_bundle(plan, base)
        known = len(bundle.manifest.variants)
    except UserError as error:
        return [*found, *map(_no_board_runs, idle), str(error)]
    found += [
        _no_board_runs(variant)
        if variant < known
        else f"replicas: variant {variant} is not in the bundle '{bundle.manifest.name}', which has 0 to {known - 1}"
        for variant in idle
    ]
    found += [
        f"board '{boards[0]}': variant {variant} is not in the bundle '{bundle.manifest.name}', "
        f"which has 0 to {known - 1}; further boards can share a variant's frames: replicas, docs/sharing.md"
        for variant, boards in sorted(placed.items())
        if variant >= known
    ]
    for variant in sorted(v for v in placed if v < known):
        try:
            bundle.model_bytes(variant)
        except UserError as error:
            found.append(str(error))
    return found


def _no_board_runs(variant: int) -> str:
    return f"replicas: no board runs variant {variant}: give it to two boards, or take it out of replicas"


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


def unreachable(broker: BrokerPlan, login: WatchSettings | None = None) -> list[str]:
    """Try to reach the broker at each of its addresses, and return what is wrong, if anything.

    Args:
        broker: the broker.
        login: of an account that has been provisioned: for trying TLS, too.
    """
    found = []
    tried = [None] * len(broker.hosts) if login is None else login.broker_options().each()
    for host, options in zip(broker.hosts, tried, strict=True):
        try:
            broker_checks.host_name(host, broker.port)
            broker_checks.port(host, broker.port, timeout=_CONNECT_TIMEOUT_S)
            if options is not None:
                broker_checks.tls(options)
        except CheckError as error:
            found.append(f"[broker] {error.verdict}: {error.remedy}")
    return found


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
