"""A site's accounts, and the access rights of each at the broker: no more than its role needs (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vp_mqtt.integrations.home_assistant import device_id
from vp_mqtt.protocol.topics import ANY, ROOT, Topics
from vp_mqtt.site.plan import CameraPlan, SitePlan, WebPlan

Access = Literal["read", "write", "readwrite"]
AccountRole = Literal["camera", "variant", "fusion", "web", "watch", "operator", "home-assistant", "cell", "bridge"]

BOARDS = "boards"
PEOPLE = "people"
"""Folders within the provisioned folder."""

FIRST_FUSION = "fusion"
"""The account of the site's fusion node, or of the first of several."""

_HOME_STATUS = "homeassistant/status"
_HOME_CONFIG = "homeassistant/device/+/config"


@dataclass(frozen=True, slots=True)
class Right:
    """Access to the topics that a filter matches."""

    access: Access
    topics: str


@dataclass(frozen=True, slots=True)
class Account:
    """A client of the broker.

    Attributes:
        name: user name, common name of the client certificate, and for a node also its name.
        role: the node's role, or the person's; "cell" is the bridge of a cell at its head office's broker,
            "bridge" at the cell's own.
        board: the board that the node, or the page, runs on; None for people.
        rights: everything that it may do; the broker refuses the rest.
        variant: the variant's index, for a variant node.
        camera: the camera's name, for a camera node.
    """

    name: str
    role: AccountRole
    board: str | None
    rights: tuple[Right, ...]
    variant: int | None = None
    camera: str | None = None

    @property
    def is_node(self) -> bool:
        """Whether it is that of a node, which has a status."""
        return self.board is not None and self.role != "web"

    @property
    def unit(self) -> str:
        """The systemd unit that runs the node."""
        return unit_name(self.role, self.variant)

    @property
    def file(self) -> str:
        """The name, without suffix, of the account's files; a node's unit expects them."""
        return f"node-{self.variant}" if self.role == "variant" else self.role


def unit_name(role: str, variant: int | None) -> str:
    """Return the systemd unit that runs a node."""
    return f"vp-node@{variant}.service" if role == "variant" else f"vp-{role}.service"


def folder_of(account: Account) -> str:
    """Return the folder, within the provisioned folder, with an account's settings, keys and password."""
    return f"{PEOPLE}/{account.name}" if account.board is None else f"{BOARDS}/{account.board}/settings"


def _own(site: Topics, name: str) -> tuple[Right, ...]:
    # A node reads its own status to notice a second process with its name; `vp site doctor` reads both, as the node.
    return Right("readwrite", site.status(name)), Right("readwrite", site.stats(name))


def _camera(site: Topics, camera: CameraPlan) -> Iterator[Right]:
    for name in camera.names():
        yield Right("write", site.frame(name))
        yield Right("write", site.announce(name))
        yield Right("read", site.label(name))
    # Of the camera itself, too, where it has regions: then all of them are meant.
    for name in dict.fromkeys((camera.name, *camera.names())):
        yield Right("read", site.capture(name))
    yield Right("write", site.snapshot(camera.name))
    yield Right("read", site.camera_settings(camera.name))
    # Boards say in their statuses how large frames have to be.
    yield Right("read", site.status(ANY))


def _fusion(site: Topics, cameras: Sequence[str]) -> Iterator[Right]:
    for camera in cameras:
        yield Right("read", site.announce(camera))
        yield Right("read", site.vote(camera, ANY))
        yield Right("write", site.label(camera))
        # It reads what it published before a restart.
        yield Right("readwrite", site.state(camera))
    yield Right("read", site.fusion_settings())
    yield Right("read", site.status(ANY))
    # Whether a board is alive shows in its stats.
    yield Right("read", site.stats(ANY))


def _change_settings(site: Topics) -> Iterator[Right]:
    yield Right("write", site.fusion_settings())
    yield Right("write", site.camera_settings(ANY))
    yield Right("write", site.capture(ANY))


def _page(site: Topics, plan: WebPlan) -> Iterator[Right]:
    # It shows everything, and publishes nothing but what the plan allows.
    yield Right("read", f"{ROOT}/{site.site}/#")
    if plan.may_push:
        yield Right("write", f"{ROOT}/{site.site}/bundle/#")
    if plan.may_change:
        yield from _change_settings(site)


def accounts(plan: SitePlan) -> list[Account]:
    """Return all accounts of a site: first the nodes', then the people's."""
    site = Topics(plan.name)
    cameras = [name for camera in plan.cameras for name in camera.names()]
    bundles = Right("read", f"{ROOT}/{plan.name}/bundle/#")
    found = [
        Account(
            name := f"camera-{camera.name}"[:64],
            "camera",
            camera.board,
            (
                *_camera(site, camera),
                *_own(site, name),
            ),
            camera=camera.name,
        )
        for camera in plan.cameras
    ]
    found += _variants(plan, site, cameras, bundles)
    found += _fusion_nodes(plan, site, cameras, bundles)
    if plan.web is not None:
        found.append(Account("web", "web", plan.web.board, tuple(_page(site, plan.web))))
    return [*found, *_people(plan, site)]


def _variants(plan: SitePlan, site: Topics, cameras: Sequence[str], bundles: Right) -> Iterator[Account]:
    placed: set[int] = set()
    for board in plan.boards:
        for variant in board.variants:
            # Further boards of a variant whose frames several share.
            name = (
                f"variant-{variant}-{board.name}"[:64] if variant in placed & {*plan.replicas} else f"variant-{variant}"
            )
            placed.add(variant)
            rights = (
                *(Right("read", site.frame(camera)) for camera in cameras),
                *(Right("write", site.vote(camera, variant)) for camera in cameras),
                bundles,
                *_own(site, name),
            )
            yield Account(name, "variant", board.name, rights, variant=variant)


def fusion_name(plan: SitePlan, board: str) -> str:
    """Return the account of the fusion node on a board."""
    return FIRST_FUSION if board == plan.fusion.board else f"{FIRST_FUSION}-{board}"[:64]


def _fusion_nodes(plan: SitePlan, site: Topics, cameras: Sequence[str], bundles: Right) -> Iterator[Account]:
    home: tuple[Right, ...] = ()
    if plan.fusion.home_assistant:
        own_config = f"homeassistant/device/{device_id(plan.name)}/config"
        home = Right("read", _HOME_STATUS), Right("readwrite", own_config), Right("write", site.presence(ANY))
    for board in plan.fusion.all_boards():
        name = fusion_name(plan, board)
        # One of them describes the site to Home Assistant.
        more = home if name == FIRST_FUSION else ()
        yield Account(name, "fusion", board, (*_fusion(site, cameras), bundles, *more, *_own(site, name)))


def _people(plan: SitePlan, site: Topics) -> list[Account]:
    look = (
        Right("read", site.label(ANY)),
        Right("read", site.state(ANY)),
        Right("read", site.status(ANY)),
        Right("read", site.stats(ANY)),
        Right("read", site.presence(ANY)),
    )
    found = []
    for person in plan.people:
        if person.role == "operator":
            rights: tuple[Right, ...] = (
                Right("read", f"{ROOT}/{plan.name}/#"),
                Right("write", f"{ROOT}/{plan.name}/bundle/#"),
                *_change_settings(site),
                # To clear the retained status, or the entry in Home Assistant, of a node that has been removed.
                Right("write", site.status(ANY)),
                Right("write", _HOME_CONFIG),
                Right("write", site.presence(ANY)),
            )
        elif person.role == "home-assistant":
            rights = (
                *look,
                Right("read", site.frame(ANY)),
                Right("write", site.capture(ANY)),
                Right("read", _HOME_CONFIG),
                Right("readwrite", _HOME_STATUS),
            )
        else:
            rights = (*look, Right("read", site.frame(ANY))) if person.frames else look
        found.append(Account(person.name, person.role, None, rights))
    return found


def retained_messages(plan: SitePlan) -> int:
    """Return how many messages a site's broker retains, bundles aside: states, statuses, presences and settings."""
    nodes = sum(account.is_node for account in accounts(plan))
    return sum(len(camera.names()) for camera in plan.cameras) + 2 * nodes + len(plan.cameras) + 1


def access_rules(all_accounts: Sequence[Account]) -> str:
    """Return the text of Mosquitto's access rules; what they do not list for an account is refused."""
    lines = ["# Written by `vp site provision`: what each account may do. Everything else is refused."]
    for account in all_accounts:
        where = "" if account.board is None else f", on board {account.board}"
        lines += ["", f"# {account.role}{where}", f"user {account.name}"]
        lines += [f"topic {right.access} {right.topics}" for right in account.rights]
    return "\n".join([*lines, ""])
