"""`vp site init`: writes the first site.toml from the answers to a few questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import builtin_bundles, open_bundle
from vp_mqtt.config.defaults import DEFAULT_BUNDLE
from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.masking import holds_secret
from vp_mqtt.site.accounts import accounts
from vp_mqtt.site.plan import SitePlan, parse_plan
from vp_mqtt.site.render import toml_value

Answers = Mapping[str, str]
_ROLES = {"camera": "camera", "fusion": "fusion node", "web": "page"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a new site.

    Attributes:
        key: name of the answer, and of its flag.
        text: the question.
        default: returns the default answer, given the answers so far; None: there is none.
    """

    key: str
    text: str
    default: Callable[[Answers], str | None]


QUESTIONS = (
    Question("name", "the site's name", lambda _: "home"),
    Question("broker", "host name or IP address of the broker, as the boards reach it (several: A,B)", lambda _: None),
    Question("boards", "boards that run one variant each, such as pi-0,pi-1,pi-2", lambda _: None),
    Question("camera", "the board with the camera", lambda _: "pi-cam"),
    Question(
        "source", "the camera's source: a webcam's number, a video, a stream, a folder, or samples", lambda _: "0"
    ),
    Question("fusion", "the board that fuses the votes", lambda answers: answers["camera"]),
    Question("bundle", "the bundle: the name of a bundled one, or a folder", lambda _: DEFAULT_BUNDLE),
)

_HEAD = """\
# A site's plan: `vp site check` reports what is wrong with it, `vp site provision` writes the folders for its machines.

name = {name} # second level of every topic
bundle = {bundle} # runs until you push another: the name of a built-in bundle, or the folder of your own
# bundle_key = "operator.key.pub" # pushed bundles must be signed with this key (vp keygen)
deadline_ms = 250.0 # how long to wait for votes: the slowest board's time for a frame, plus some for the network
# replicas = [5] # variants that may run on several boards, which share their frames
# package = "vp_mqtt-0.1.0-py3-none-any.whl" # the wheel that boards install, if not the newest one beside this file

[broker]
host = {broker} # as the boards reach it; its certificate is for this. A list: further addresses, tried in order
# names = ["broker.local"] # further names and addresses
port = 8883 # TLS only

[fusion]
board = {fusion}
# shards = ["pi-5"] # further boards that fuse votes: they share the cameras, and take over those of one that dies
# home_assistant = true # show the site in Home Assistant

# The page, on a board. Beyond 127.0.0.1 it needs a password:
# vp web --set-password operator --passwords-file page.passwords
# [web]
# board = {fusion}
# listen = "0.0.0.0:8321"
# passwords_file = "page.passwords"
# may_change = true # its operators may change regions, thresholds and the like
# metrics_token_file = "metrics.token" # for Prometheus: (umask 077; openssl rand -hex 32 > metrics.token)

[[cameras]]
name = "cam0" # a level of its topics
board = {camera}
source = {source} # a webcam's number, a video file, rtsp://.., a folder of pictures
# source_file = "cam0.source" # in place of source: a file (chmod 600) with an address that holds a password
fps = 5.0
# encode = "never" # frames as large as the pictures; auto: no larger than boards need; or size = "320x240"
# regions = {{ door = [0.1, 0.2, 0.4, 0.9] }} # parts of the picture (left, top, right, bottom), each a camera cam0.door
# rotate = 90 # clockwise; also mirror = true
# motion_gate = true # publish nothing while nothing moves, but for a heartbeat

# Accounts for people and their programs: "watch" sees labels and statuses (pictures too with frames = true), "operator"
# may also push bundles, "home-assistant" is for Home Assistant.
[[people]]
name = "operator"
role = "operator"

[[people]]
name = "watch"

# Every machine that runs a node. Each variant runs on one board only, unless it is named in replicas.
"""


def text(answers: Answers, boards: Sequence[str], variants: Sequence[int]) -> str:
    """Return a commented plan.

    Args:
        answers: by the questions' keys.
        boards: the boards that run one variant each.
        variants: their variants.
    """
    hosts = [host.strip() for host in answers["broker"].split(",")]
    values = {**answers, "broker": hosts if len(hosts) > 1 else hosts[0]}
    parts = [_HEAD.format(**{key: toml_value(value) for key, value in values.items()})]
    assigned = zip(boards, variants, strict=True)
    parts += [f"[[boards]]\nname = {toml_value(board)}\nvariants = [{variant}]\n" for board, variant in assigned]
    others = dict.fromkeys((answers["camera"], answers["fusion"]))
    parts += [f"[[boards]]\nname = {toml_value(other)}\n" for other in others if other not in boards]
    return "\n".join(parts)


def _variants(bundle: str, base: Path, boards: int) -> list[int]:
    """Return the variants for so many boards: the strongest ones, if the bundle is there already."""
    try:
        manifest = open_bundle(bundle if bundle in builtin_bundles() else base / bundle).manifest
    except UserError:
        return list(range(boards))
    # What is too much is among the problems of the plan.
    return [*manifest.strongest(boards), *range(len(manifest.variants), boards)]


def write(file: Path, answers: Answers, boards: Sequence[str]) -> SitePlan:
    """Write a plan, and return it.

    Raises:
        UserError: an answer is not valid, or the file cannot be written.
    """
    written = text(answers, boards, _variants(answers["bundle"], file.parent, len(boards)))
    plan = parse_plan(written, file.name)
    try:
        write_atomically(file, written, mode=0o600 if holds_secret(answers["source"]) else 0o644)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    return plan


def summary(plan: SitePlan) -> list[str]:
    """Return what each board will run, one line each."""
    runs: dict[str, list[str]] = {board.name: [] for board in plan.boards}
    for account in accounts(plan):
        if account.board in runs:
            runs[account.board].append(
                f"variant {account.variant}" if account.variant is not None else _ROLES[account.role]
            )
    return [f"board {name}: {', '.join(nodes)}" for name, nodes in runs.items() if nodes]
