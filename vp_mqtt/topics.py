"""The topic scheme, both ways: `vp/SITE/..` (docs/wire.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

ROOT = "vp"
ANY = "+"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""What sites, cameras and nodes may be called: one topic level, safe in file names and client ids."""

_NAME = re.compile(NAME_PATTERN, re.ASCII)
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}", re.ASCII)


class Kind(StrEnum):
    """What a topic carries."""

    FRAME = "frame"
    ANNOUNCE = "announce"
    VOTE = "vote"
    LABEL = "label"
    STATUS = "status"
    STATS = "stats"
    STAGE = "stage"
    """Feature maps between the boards of model parallelism, which ours is compared with."""


class TopicError(ValueError):
    """The topic is not one of the scheme's."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, taken apart.

    Attributes:
        site: the site's name.
        kind: what the topic carries.
        source: the camera's name, or the node's for status and stats.
        variant: the variant's index, for votes; the index of the stage that is to go on, for feature maps.
    """

    site: str
    kind: Kind
    source: str
    variant: int | None = None


def is_name(text: str) -> bool:
    """Tell whether a site, camera or node may be called this."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Topics:
    """Writes the topics of one site; ANY in place of a name or an index makes a filter."""

    site: str

    def frame(self, camera: str) -> str:
        """Return the topic of a camera's frames."""
        return f"{ROOT}/{self.site}/camera/{camera}/frame"

    def announce(self, camera: str) -> str:
        """Return the topic of a camera's announces."""
        return f"{ROOT}/{self.site}/camera/{camera}/announce"

    def vote(self, camera: str, variant: int | str) -> str:
        """Return the topic of a variant's votes on a camera's frames."""
        return f"{ROOT}/{self.site}/camera/{camera}/vote/{variant}"

    def stage(self, camera: str, index: int | str) -> str:
        """Return the topic of feature maps of a camera's frames for a stage of a pipeline."""
        return f"{ROOT}/{self.site}/camera/{camera}/stage/{index}"

    def label(self, camera: str) -> str:
        """Return the topic of a camera's labels."""
        return f"{ROOT}/{self.site}/camera/{camera}/label"

    def status(self, node: str) -> str:
        """Return the topic of a node's retained status."""
        return f"{ROOT}/{self.site}/node/{node}/status"

    def stats(self, node: str) -> str:
        """Return the topic of a node's counters."""
        return f"{ROOT}/{self.site}/node/{node}/stats"


def parse(topic: str) -> Topic:
    """Take a topic apart.

    Raises:
        TopicError: it is not one of the scheme's.
    """
    match topic.split("/"):
        case [root, site, "camera", camera, ("vote" | "stage") as kind, index] if root == ROOT and _INDEX.fullmatch(
            index
        ):
            parsed = Topic(site, Kind(kind), camera, int(index))
        case [root, site, "camera", camera, ("frame" | "announce" | "label") as kind] if root == ROOT:
            parsed = Topic(site, Kind(kind), camera)
        case [root, site, "node", node, ("status" | "stats") as kind] if root == ROOT:
            parsed = Topic(site, Kind(kind), node)
        case _:
            raise TopicError("not a topic of ours")
    if not (is_name(parsed.site) and is_name(parsed.source)):
        raise TopicError("not a topic of ours")
    return parsed
