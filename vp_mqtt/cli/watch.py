"""`vp watch`: the labels of a site as they arrive, and what is missing if they do not."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence

from rich.live import Live

from vp_mqtt.cli.watch_screen import Screen
from vp_mqtt.cli.watch_tables import clock_time, missing, no_label, response, state_name
from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.logs import LOGGER, Refusals
from vp_mqtt.mqtt.inbox import Inbox
from vp_mqtt.mqtt.message import Received
from vp_mqtt.mqtt.session import Session, connected
from vp_mqtt.overview.reading import read_into
from vp_mqtt.overview.site_overview import Overview, SeenLabel
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.messages import MAX_MESSAGE_BYTES, LabelMessage, StateMessage
from vp_mqtt.protocol.topics import ANY, Topics
from vp_mqtt.terminal import can_redraw

_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 16_000_000
_DRAW_EVERY_S = 0.125
_LOOK_EVERY_S = 0.5
_DURATION = re.compile(r"\b\d+ s\b")


def line(seen: SeenLabel, overview: Overview) -> str:
    """Return a label as a line of text: who did not vote on it and why, and the camera's state."""
    label = seen.label
    name = label.label or no_label(label)
    confidence = "" if label.confidence is None else f" {label.confidence:.0%}"
    who = f", missing {missing(label, _absent(overview, label, seen.at))}" if label.missing else ""
    state = overview.states.get(label.camera)
    is_stable = state is not None and not state.is_expired(seen.at)
    return (
        f"{label.camera} {label.frame} {name}{confidence} "
        f"({len(label.voted)} votes, {label.closed_by}, response {response(seen)}{who})"
        + (f", state {state_name(state.state)}" if state is not None and is_stable else "")
    )


def _absent(overview: Overview, label: LabelMessage, now: float) -> dict[int, str]:
    """Return why the boards of variants that did not vote on a label are not there."""
    # Of several boards with one variant, one that is online should have voted.
    boards = sorted(overview.nodes("variant", now), key=lambda node: node.is_online)
    nodes = {node.status.variant: node for node in boards}
    if not nodes:
        # An account that may not read statuses knows nothing of boards.
        return {}
    return {
        variant: str(nodes[variant].presence) if variant in nodes else "no board"
        for variant in label.missing
        if variant not in nodes or not nodes[variant].is_online
    }


def state_line(state: StateMessage, wall: float) -> str:
    """Return a state that has changed as a line of text."""
    since = f"since {clock_time(state.since, wall)}"
    confidence = "" if state.confidence is None else f", {state.confidence:.0%}"
    before = "" if state.previous is None else f", {state.previous} before"
    return f"{state.camera} state {state_name(state)} {since} ({state.reason}{confidence}{before})"


class _Listener:
    """Reads a site's messages into an overview."""

    def __init__(self, session: Session, inbox: Inbox[Received], overview: Overview) -> None:
        self._session = session
        self._inbox = inbox
        self._overview = overview
        self._refusals = Refusals()

    def messages(self) -> Iterator[SeenLabel | StateMessage | None]:
        """Yield labels and changes of states as they arrive, and None after other messages, or a while without any.

        Raises:
            UserError: the session has ended with a permanent failure.
        """
        while True:
            message = self._inbox.get(_LOOK_EVERY_S)
            now = time.monotonic()
            self._overview.note_connection(now, is_connected=self._session.connected.is_set())
            if message is None:
                self._session.check()
                yield None
                continue
            try:
                found = read_into(
                    self._overview,
                    topics.parse(message.topic),
                    message.payload,
                    retained=message.retained,
                    now=now,
                    wall_time=time.time(),
                )
            except ValueError as error:
                self._refusals.add(message.topic, str(error))
            else:
                yield found


def _text(
    found: SeenLabel | StateMessage | None, overview: Overview, *, as_json: bool, states_only: bool
) -> str | None:
    """Return what to print of a label or a changed state: both, but states alone, or labels alone, if it is JSON."""
    if isinstance(found, SeenLabel):
        text = found.label.encode().decode() if as_json else line(found, overview)
        return None if states_only else text
    if found is None or (as_json and not states_only):
        return None
    return found.encode().decode() if as_json else state_line(found, time.time())


def new_problems(current: Sequence[str], before: Sequence[str]) -> list[str]:
    """Return the problems that were not there before; one that has only lasted for longer is the same."""
    known = {_DURATION.sub("", problem) for problem in before}
    return [problem for problem in current if _DURATION.sub("", problem) not in known]


def _print_lines(listener: _Listener, overview: Overview, *, as_json: bool, states_only: bool) -> None:
    """Print what is asked for to standard output, and log problems as they begin and end."""
    problems: list[str] = []
    for found in listener.messages():
        text = _text(found, overview, as_json=as_json, states_only=states_only)
        if text is not None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            continue
        current = overview.problems(time.monotonic())
        for problem in new_problems(current, problems):
            LOGGER.warning("%s", problem)
        if problems and not current:
            LOGGER.info("site '%s': no problems any more", overview.site)
        problems = current


def _show_screen(listener: _Listener, overview: Overview) -> None:
    # The screen itself shows what would be logged, and log lines would disturb it.
    LOGGER.setLevel(logging.ERROR)
    # Rich would draw in a thread of its own, while the overview changes.
    with Live(Screen(overview, time.monotonic()), auto_refresh=False) as live:
        drawn = time.monotonic()
        for _ in listener.messages():
            now = time.monotonic()
            if now - drawn >= _DRAW_EVERY_S:
                drawn = now
                live.update(Screen(overview, now), refresh=True)


def run(settings: WatchSettings, *, json_lines: bool, states_only: bool = False) -> None:
    """Show labels until a KeyboardInterrupt.

    Args:
        settings: what to watch.
        json_lines: print the labels as JSON, one object per line.
        states_only: print the states when they change, and no labels.

    Raises:
        UserError: a certificate, key or password file is not usable, or the broker cannot be reached or refuses us.
    """
    inbox: Inbox[Received] = Inbox(
        per_source=_MAX_WAITING, max_bytes=_MAX_WAITING_BYTES, size_of=lambda message: len(message.payload)
    )
    # Several may watch a site from one machine.
    name = settings.node_name(str(time.time_ns() % 1_000_000))
    site = Topics(settings.site)
    with connected(
        settings.broker_options(),
        client_id=f"vp-{settings.site}-{name}",
        subscriptions=[
            (site.state(settings.camera), 1),
            (site.label(settings.camera), 0),
            (site.status(ANY), 1),
            (site.stats(ANY), 0),
            (site.link(), 1),
        ],
        on_message=lambda message: inbox.put(message.topic, message),
        on_end=lambda _: inbox.close(),
        max_packet_bytes=MAX_MESSAGE_BYTES,
        finds_statuses=True,
    ) as session:
        overview = Overview(settings.site, now=time.monotonic())
        listener = _Listener(session, inbox, overview)
        if can_redraw(sys.stdout) and not json_lines and not states_only:
            _show_screen(listener, overview)
        else:
            _print_lines(listener, overview, as_json=json_lines, states_only=states_only)
