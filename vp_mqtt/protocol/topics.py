"""The topic scheme `vp/SITE/..` (docs/wire.md): writes topics, and parses them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

ROOT = "vp"
ANY = "+"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Valid names of sites, cameras and nodes: one topic level, safe in file names and client ids."""

_NAME = re.compile(NAME_PATTERN)
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}")
# Of the topics that end with their kind: the level above the source.
_BRANCHES = {
    "frame": "camera",
    "announce": "camera",
    "label": "camera",
    "state": "camera",
    "capture": "camera",
    "snapshot": "camera",
    "status": "node",
    "stats": "node",
    "presence": "node",
}


class Kind(StrEnum):
    """What a topic carries."""

    FRAME = "frame"
    ANNOUNCE = "announce"
    VOTE = "vote"
    LABEL = "label"
    STATE = "state"
    CAPTURE = "capture"
    """A request for a frame now, or for a snapshot."""
    SNAPSHOT = "snapshot"
    """A camera node's whole picture, as an answer to such a request."""
    STATUS = "status"
    STATS = "stats"
    PRESENCE = "presence"
    LINK = "link"
    """Whether the site's broker is connected to the broker of its head office."""
    BUNDLE = "bundle"
    """Which bundle the site runs."""
    CHUNK = "chunk"
    """A part of a bundle's manifest or model."""
    FUSION_SETTINGS = "fusion-settings"
    """The site's retained settings of its fusion nodes."""
    CAMERA_SETTINGS = "camera-settings"
    """The site's retained settings of a camera node."""


_SINGLE = {"link": Kind.LINK, "settings/fusion": Kind.FUSION_SETTINGS, "bundle/current": Kind.BUNDLE}
"""Topics of which a site has one."""


class TopicError(ValueError):
    """A topic that does not belong to the scheme."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic.

    Attributes:
        site: the site's name.
        kind: what the topic carries.
        source: the camera's name, or the node's for status and stats, or a bundle's digest for its chunks; of topics of
            which a site has one, their last level.
        variant: the variant's index, for votes and for chunks of a model; None for chunks of a manifest.
        chunk: the chunk's index.
    """

    site: str
    kind: Kind
    source: str
    variant: int | None = None
    chunk: int | None = None


def is_name(text: str) -> bool:
    """Return whether this is a valid name for a site, camera or node."""
    return _NAME.fullmatch(text) is not None


def is_index(text: str) -> bool:
    """Return whether this is a valid index of a variant or a chunk: 0..9999, written in one way only."""
    return _INDEX.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Topics:
    """Writes the topics of one site; ANY in place of a name or an index makes a filter."""

    site: str

    def frame(self, camera: str) -> str:
        """Return the topic of a camera's frames."""
        return f"{ROOT}/{self.site}/camera/{camera}/frame"

    def shared_frame(self, camera: str, variant: int) -> str:
        """Return a filter for a camera's frames, which the broker deals to the boards of a variant in turn."""
        return f"$share/variant-{variant}/{self.frame(camera)}"

    def announce(self, camera: str) -> str:
        """Return the topic of a camera's announces."""
        return f"{ROOT}/{self.site}/camera/{camera}/announce"

    def vote(self, camera: str, variant: int | str) -> str:
        """Return the topic of a variant's votes on a camera's frames."""
        return f"{ROOT}/{self.site}/camera/{camera}/vote/{variant}"

    def label(self, camera: str) -> str:
        """Return the topic of a camera's labels."""
        return f"{ROOT}/{self.site}/camera/{camera}/label"

    def state(self, camera: str) -> str:
        """Return the topic of a camera's retained state."""
        return f"{ROOT}/{self.site}/camera/{camera}/state"

    def capture(self, camera: str) -> str:
        """Return the topic on which a camera is asked for a frame now."""
        return f"{ROOT}/{self.site}/camera/{camera}/capture"

    def snapshot(self, camera: str) -> str:
        """Return the topic of a camera node's whole picture."""
        return f"{ROOT}/{self.site}/camera/{camera}/snapshot"

    def fusion_settings(self) -> str:
        """Return the topic of the site's retained settings of its fusion nodes."""
        return f"{ROOT}/{self.site}/settings/fusion"

    def camera_settings(self, camera: str) -> str:
        """Return the topic of the site's retained settings of a camera node."""
        return f"{ROOT}/{self.site}/settings/camera/{camera}"

    def status(self, node: str) -> str:
        """Return the topic of a node's retained status."""
        return f"{ROOT}/{self.site}/node/{node}/status"

    def stats(self, node: str) -> str:
        """Return the topic of a node's counters."""
        return f"{ROOT}/{self.site}/node/{node}/stats"

    def presence(self, node: str) -> str:
        """Return the topic of what the fusion node hears of a node, retained."""
        return f"{ROOT}/{self.site}/node/{node}/presence"

    def link(self) -> str:
        """Return the topic on which the site's broker says whether it is connected to that of its head office."""
        return f"{ROOT}/{self.site}/link"

    def bundle(self) -> str:
        """Return the topic of the site's pointer: which bundle it runs."""
        return f"{ROOT}/{self.site}/bundle/current"

    def manifest(self, digest: str, chunk: int | str) -> str:
        """Return the topic of a chunk of a bundle's manifest."""
        return f"{ROOT}/{self.site}/bundle/{digest}/manifest/{chunk}"

    def model(self, digest: str, variant: int | str, chunk: int | str) -> str:
        """Return the topic of a chunk of the model of one of a bundle's variants."""
        return f"{ROOT}/{self.site}/bundle/{digest}/model/{variant}/{chunk}"


def parse(topic: str) -> Topic:
    """Parse a topic.

    Raises:
        TopicError: it does not belong to the scheme.
    """
    root, _, rest = topic.partition("/")
    parsed = _parse_levels(rest.split("/")) if root == ROOT else None
    if parsed is None or not is_name(parsed.site) or not is_name(parsed.source):
        raise TopicError("unknown topic")
    return parsed


def _parse_levels(levels: list[str]) -> Topic | None:
    """Parse the levels below the root; None if they do not match the scheme. Names are not checked."""
    match levels:
        case [site, "camera", camera, "vote", index] if is_index(index):
            return Topic(site, Kind.VOTE, camera, int(index))
        case [site, branch, source, kind] if _BRANCHES.get(kind) == branch:
            return Topic(site, Kind(kind), source)
        case [site, "settings", "camera", camera]:
            return Topic(site, Kind.CAMERA_SETTINGS, camera)
        case [site, *path] if (only := _SINGLE.get("/".join(path))) is not None:
            return Topic(site, only, path[-1])
        case [site, "bundle", *rest]:
            return _parse_bundle(site, rest)
    return None


def _parse_bundle(site: str, levels: list[str]) -> Topic | None:
    match levels:
        case [digest, "manifest", chunk] if is_index(chunk):
            return Topic(site, Kind.CHUNK, digest, chunk=int(chunk))
        case [digest, "model", index, chunk] if is_index(index) and is_index(chunk):
            return Topic(site, Kind.CHUNK, digest, int(index), int(chunk))
    return None
