"""`vp site init`: writes the first site.toml from the answers to a few questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.masking import holds_secret
from vp_mqtt.site.plan import parse_plan
from vp_mqtt.site.render import toml_value

Answers = Mapping[str, str]


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
    Question("broker", "host name or IP address of the broker, as the boards reach it", lambda _: None),
    Question("boards", "boards that run one variant each, such as pi-0,pi-1,pi-2", lambda _: None),
    Question("camera", "the board with the camera", lambda _: "pi-cam"),
    Question(
        "source", "the camera's source: a webcam's number, a video, a stream, a folder, or samples", lambda _: "0"
    ),
    Question("fusion", "the board that fuses the votes", lambda answers: answers["camera"]),
    Question("bundle", "the bundle: the name of a bundled one, or a folder", lambda _: "fashion-mnist"),
)

_HEAD = """\
# A site's plan: `vp site check` reports what is wrong with it, `vp site provision` writes the folders for its machines.

name = {name} # second level of every topic
bundle = {bundle} # runs until you push another: the name of a built-in bundle, or the folder of your own
# bundle_key = "operator.key.pub" # pushed bundles must be signed with this key (vp keygen)
deadline_ms = 250.0 # how long to wait for votes: the slowest board's time for a frame, plus some for the network
# package = "vp_mqtt-0.1.0-py3-none-any.whl" # the wheel that boards install, if not the newest one beside this file

[broker]
host = {broker} # as the boards reach it; its certificate is for this name or address
# names = ["broker.local"] # further names and addresses
port = 8883 # TLS only

[fusion]
board = {fusion}
# home_assistant = true # show the site in Home Assistant

[[cameras]]
name = "cam0" # a level of its topics
board = {camera}
source = {source} # a webcam's number, a video file, rtsp://.., a folder of pictures
# source_file = "cam0.source" # in place of source: a file (chmod 600) with an address that holds a password
fps = 5.0
# size = "320x240" # small frames keep the Wi-Fi free
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

# Every machine that runs a node. Each variant runs on one board only.
"""


def text(answers: Answers, boards: Sequence[str]) -> str:
    """Return a commented plan.

    Args:
        answers: by the questions' keys.
        boards: the boards that run one variant each, by index.
    """
    parts = [_HEAD.format(**{key: toml_value(value) for key, value in answers.items()})]
    parts += [f"[[boards]]\nname = {toml_value(board)}\nvariants = [{index}]\n" for index, board in enumerate(boards)]
    others = dict.fromkeys((answers["camera"], answers["fusion"]))
    parts += [f"[[boards]]\nname = {toml_value(other)}\n" for other in others if other not in boards]
    return "\n".join(parts)


def write(file: Path, answers: Answers, boards: Sequence[str]) -> None:
    """Write a valid plan.

    Raises:
        UserError: an answer is not valid, or the file cannot be written.
    """
    plan = text(answers, boards)
    parse_plan(plan, file.name)
    try:
        write_atomically(file, plan, mode=0o600 if holds_secret(answers["source"]) else 0o644)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
