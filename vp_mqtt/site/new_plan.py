"""The first site.toml, from a few answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.files import write_atomically
from vp_mqtt.site.plan import parse_plan
from vp_mqtt.site.render import toml_value

Answers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and its answer if none is given, from the answers before."""

    key: str
    text: str
    default: Callable[[Answers], str | None]


QUESTIONS = (
    Question("name", "the site's name", lambda _: "home"),
    Question("broker", "host name or IP address of the broker, as the boards reach it", lambda _: None),
    Question("boards", "boards that run a variant each, such as pi-0,pi-1,pi-2", lambda _: None),
    Question("camera", "the board with the camera", lambda _: "pi-cam"),
    Question(
        "source", "the camera's source: a webcam's number, a video, a stream, a folder, or samples", lambda _: "0"
    ),
    Question("fusion", "the board that fuses the votes", lambda answers: answers["camera"]),
    Question("bundle", "the bundle: the name of one in the box, or a folder", lambda _: "fashion-mnist"),
)

_HEAD = """\
# A site: `vp site check` says what is wrong with it, `vp site provision` makes the folders for its machines.

name = {name} # second level of every topic
bundle = {bundle} # what runs until you push another: a bundle in the box, or the folder of your own
# bundle_key = "operator.key.pub" # pushed bundles must be signed with this key (vp keygen)
deadline_ms = 250.0 # how long votes are waited for: the slowest board's time for a frame, and room for the network
package = {package} # what pip installs on the boards: a wheel's file (pip wheel --no-deps .) is copied along

[broker]
host = {broker} # as the boards reach it: its certificate is for this name or address
# names = ["broker.local"] # further ones
port = 8883 # TLS only

[fusion]
board = {fusion}
# home_assistant = true # announce the site to Home Assistant

[[cameras]]
name = "cam0" # a level of its topics
board = {camera}
source = {source} # a webcam's number, a video file, rtsp://.., a folder of pictures
fps = 5.0
# size = "320x240" # small frames keep the Wi-Fi free

# Accounts of people and their programs: "watch" sees labels and statuses (and pictures with frames = true), "operator"
# may also push bundles, "home-assistant" is for Home Assistant.
[[people]]
name = "operator"
role = "operator"

[[people]]
name = "watch"

# Every machine that runs something. A variant runs on one board only.
"""


def _package(folder: Path) -> str:
    wheels = sorted(folder.glob("vp_mqtt-*.whl"), key=lambda path: path.stat().st_mtime)
    return wheels[-1].name if wheels else "vp-mqtt"


def text(answers: Answers, boards: Sequence[str], package: str) -> str:
    """Return a commented plan.

    Args:
        answers: by the questions' keys.
        boards: that run a variant each, by index.
        package: what pip installs on them.
    """
    parts = [_HEAD.format(**{key: toml_value(value) for key, value in {**answers, "package": package}.items()})]
    parts += [f"[[boards]]\nname = {toml_value(board)}\nvariants = [{index}]\n" for index, board in enumerate(boards)]
    others = dict.fromkeys((answers["camera"], answers["fusion"]))
    parts += [f"[[boards]]\nname = {toml_value(other)}\n" for other in others if other not in boards]
    return "\n".join(parts)


def write(file: Path, answers: Answers, boards: Sequence[str]) -> None:
    """Write a plan, unless it would not be read again; a wheel of ours that lies beside it is what boards install.

    Raises:
        UserError: an answer is not usable, or the file cannot be written.
    """
    plan = text(answers, boards, _package(file.absolute().parent))
    parse_plan(plan, "site.toml")
    try:
        write_atomically(file, plan, mode=0o644)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
