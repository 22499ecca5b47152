"""The states of cameras on a real broker: flickering labels in, a retained state out, and none that did not happen."""

from __future__ import annotations

import json
from collections.abc import Iterable

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.broker import Mosquitto
from tests.support.site import SITE, Probe, Site
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.messages import StateMessage, StatusMessage
from vp_mqtt.protocol.settings_values import SettingsInForce
from vp_mqtt.protocol.topics import Kind, Topics

# Votes of a busy machine are late; here, all count.
PATIENT = ("--deadline-ms", "5000")
RULES = ("--state-labels", "3", "--state-window", "5", "--state-hysteresis", "1", "--state-dwell", "0", *PATIENT)
STATE = Topics(SITE).state("cam0")


def states(probe: Probe) -> list[StateMessage]:
    return [StateMessage.decode(message.payload) for message in probe.of(Kind.STATE)]


class Scene:
    """A camera that publishes a frame when told."""

    def __init__(self, site: Site, run: int) -> None:
        self._site = site
        self._run = run
        self._frames = 0

    def show(self, colours: Iterable[str]) -> None:
        """Publish a frame of each colour, and wait for its label."""
        for colour in colours:
            frame = FrameId(self._run, self._frames)
            self._frames += 1
            self._site.probe.publish_frame(frame, colour)
            label = self._site.probe.label_of(frame)
            assert label.label == colour


def test_flickering_labels_make_one_state_that_is_kept_and_survives_a_restart(site: Site, broker: Mosquitto) -> None:
    site.start_all([0], *RULES)
    scene = Scene(site, 1)
    scene.show(("red", "green", "red", "blue"))
    assert states(site.probe) == []
    site.start("watch", "watch", "--states")
    site.await_log("watch", "connected")
    scene.show(("red", "green", "red", "red", "green", "red"))
    (first,) = states(site.probe)
    assert (first.camera, first.label, first.previous, first.agreeing) == ("cam0", "red", None, (0,))

    # Who starts late gets it from the broker, as long as it is valid.
    late = Probe(broker.port)
    try:
        late.until(lambda: states(late), "the state that was kept")
        assert states(late) == [first]
        (expires,) = [p for m, p in zip(late.received, late.properties, strict=True) if m.topic == STATE]
        assert expires is not None
        assert 80 < expires.MessageExpiryInterval <= first.valid_for_s == 90  # type: ignore[attr-defined]
    finally:
        late.close()

    # The label is left after 3 + 1 of 5.
    scene.show(("blue", "red", "blue", "blue"))
    assert len(states(site.probe)) == 1
    scene.show(("blue",))
    site.probe.until(lambda: len(states(site.probe)) == 2, "the second state")
    second = states(site.probe)[1]
    assert (second.label, second.previous) == ("blue", "red")
    assert second.since > first.since

    site.await_log("watch", "cam0 state blue since")
    lines = [text for text in site.log("watch").splitlines() if text.startswith("cam0")]
    assert [text.split()[2] for text in lines] == ["red", "blue"]

    site.kill("fusion")
    site.start_fusion(*RULES)
    site.await_online("fusion")
    site.await_log("fusion", "variant 0 is online", times=2)
    Scene(site, 2).show(["blue"] * 3)
    site.probe.until(lambda: len(states(site.probe)) == 3, "the state after the restart")
    same = states(site.probe)[2]
    assert same.model_copy(update={"published": second.published}) == second


def test_what_strangers_leave_on_the_topic_is_no_state(site: Site) -> None:
    forged = (
        b'{"camera": "cam0", "label": "red", "since": 9e10, "previous": null, "confidence": 1, "agreeing": [],'
        b' "reason": "labels", "published": 9e10, "valid_for_s": 1e9, "bundle": "tiny"}'
    )
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    site.probe.client.publish(STATE, forged, 1, retain=True, properties=properties).wait_for_publish(5)
    site.probe.client.publish(Topics(SITE).state("cam1"), b"{", 1, retain=True).wait_for_publish(5)
    site.start_all([0], *RULES)
    site.probe.received.clear()
    Scene(site, 1).show(["red"] * 4)
    site.probe.until(lambda: states(site.probe), "a state")
    (state,) = states(site.probe)
    assert (state.label, state.previous) == ("red", None)
    assert state.since < 9e10
    site.probe.until(lambda: site.probe.stats("fusion").get("refused", 0) == 2, "both are refused, and counted")


def test_the_sites_settings_are_followed_while_the_node_runs_and_what_is_none_changes_nothing(site: Site) -> None:
    kept = {"format": 1, "version": 7, "changed": 1.0, "unknown": 1.0}
    topic = Topics(SITE).fusion_settings()

    def publish(payload: bytes) -> None:
        site.probe.client.publish(topic, payload, 1, retain=True).wait_for_publish(5)

    def settings() -> SettingsInForce | None:
        found = [m for m in site.probe.of(Kind.STATUS) if m.topic == Topics(SITE).status("fusion")]
        return StatusMessage.decode(found[-1].payload).settings

    # What the broker has kept is in force from the start: every picture is unknown.
    publish(json.dumps(kept).encode())
    site.start_all([0], *RULES)
    site.probe.until(lambda: (now := settings()) is not None and now.version == 7, "the site's settings")
    site.probe.publish_frame(FrameId(9, 0))
    assert site.probe.label_of(FrameId(9, 0)).known is False

    # Other ones take effect with the next label: a single one makes the state now.
    quick = {"labels": 1, "window": 1, "hysteresis": 0, "dwell": 0, "timeout": 30}
    publish(json.dumps(kept | {"version": 8, "unknown": "off", "state": quick}).encode())
    site.probe.until(lambda: (now := settings()) is not None and now.version == 8, "further settings")
    Scene(site, 1).show(("red", "blue", "red"))
    changes = ["red", "blue", "red"]
    site.probe.until(lambda: [state.label for state in states(site.probe)][-3:] == changes, "a state for each label")

    refusal = "state: labels and hysteresis together exceed the window: no state could end"
    for wrong in (b"{", b"[" * 9000, json.dumps(kept | {"state": quick | {"labels": 2}}).encode()):
        publish(wrong)
    site.probe.until(lambda: (now := settings()) is not None and now.refused == refusal, "a refusal")
    Scene(site, 2).show(("blue",))
    site.probe.until(lambda: states(site.probe)[-1].label == "blue", "a state by the settings before")
    site.probe.until(lambda: site.probe.stats("fusion").get("refused", 0) == 3, "the refusals are counted")
    publish(b"")
    own = site.probe.until(lambda: (now := settings()) is not None and now.version is None and now, "its own settings")
    assert (own.unknown, own.state.labels, own.refused) == ("auto", 3, None)


def test_without_states_there_is_none(site: Site) -> None:
    site.start_all([0], "--no-state", *PATIENT)
    Scene(site, 1).show(["red"] * 6)
    assert states(site.probe) == []
