from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.files import PATTERN_TEXTS
from vp_mqtt.protocol.topics import ANY, NAME_PATTERN, Kind, Topic, TopicError, Topics, is_name, parse

thorough = settings(max_examples=200, deadline=None)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
LONGEST = "n" * 64


def written(topic: Topic) -> str:
    topics = Topics(topic.site)
    if topic.kind is Kind.VOTE:
        assert topic.variant is not None
        return topics.vote(topic.source, topic.variant)
    single = {
        Kind.LINK: topics.link,
        Kind.BUNDLE: topics.bundle,
        Kind.FUSION_SETTINGS: topics.fusion_settings,
    }
    if topic.kind in single:
        return single[topic.kind]()
    if topic.kind is Kind.CHUNK:
        assert topic.chunk is not None
        if topic.variant is None:
            return topics.manifest(topic.source, topic.chunk)
        return topics.model(topic.source, topic.variant, topic.chunk)
    plain = {
        Kind.CAMERA_SETTINGS: topics.camera_settings,
        Kind.SNAPSHOT: topics.snapshot,
        Kind.FRAME: topics.frame,
        Kind.ANNOUNCE: topics.announce,
        Kind.LABEL: topics.label,
        Kind.STATE: topics.state,
        Kind.CAPTURE: topics.capture,
        Kind.STATUS: topics.status,
        Kind.STATS: topics.stats,
        Kind.PRESENCE: topics.presence,
    }
    return plain[topic.kind](topic.source)


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("vp/home/camera/cam0/frame", Topic("home", Kind.FRAME, "cam0")),
        ("vp/home/camera/cam0/announce", Topic("home", Kind.ANNOUNCE, "cam0")),
        ("vp/home/camera/cam0/vote/5", Topic("home", Kind.VOTE, "cam0", 5)),
        ("vp/home/camera/cam0/vote/0", Topic("home", Kind.VOTE, "cam0", 0)),
        ("vp/home/camera/cam0/label", Topic("home", Kind.LABEL, "cam0")),
        ("vp/home/camera/cam0/state", Topic("home", Kind.STATE, "cam0")),
        ("vp/home/camera/cam0.door/capture", Topic("home", Kind.CAPTURE, "cam0.door")),
        ("vp/home/node/pi-3.local/status", Topic("home", Kind.STATUS, "pi-3.local")),
        ("vp/home/node/pi-3.local/stats", Topic("home", Kind.STATS, "pi-3.local")),
        ("vp/home/camera/cam0/snapshot", Topic("home", Kind.SNAPSHOT, "cam0")),
        ("vp/home/settings/fusion", Topic("home", Kind.FUSION_SETTINGS, "fusion")),
        ("vp/home/settings/camera/cam0", Topic("home", Kind.CAMERA_SETTINGS, "cam0")),
        ("vp/home/link", Topic("home", Kind.LINK, "link")),
        ("vp/home/bundle/current", Topic("home", Kind.BUNDLE, "current")),
        ("vp/home/bundle/ab12/manifest/3", Topic("home", Kind.CHUNK, "ab12", None, 3)),
        ("vp/home/bundle/ab12/model/5/0", Topic("home", Kind.CHUNK, "ab12", 5, 0)),
        ("vp/camera/camera/vote/vote/1", Topic("camera", Kind.VOTE, "vote", 1)),
        (f"vp/{LONGEST}/camera/{LONGEST}/frame", Topic(LONGEST, Kind.FRAME, LONGEST)),
    ],
)
def test_topics_are_written_and_parsed_as_the_scheme_says(topic: str, parts: Topic) -> None:
    assert parse(topic) == parts
    assert written(parts) == topic


@thorough
@given(names, st.sampled_from(Kind), names, st.integers(0, 9999), st.sampled_from(["manifest", "model"]))
def test_every_topic_that_is_written_is_read_back(site: str, kind: Kind, source: str, number: int, of: str) -> None:
    has_variant = kind is Kind.VOTE or (kind is Kind.CHUNK and of == "model")
    topic = Topic(
        site,
        kind,
        {Kind.BUNDLE: "current", Kind.FUSION_SETTINGS: "fusion", Kind.LINK: "link"}.get(kind, source),
        number if has_variant else None,
        number if kind is Kind.CHUNK else None,
    )
    assert parse(written(topic)) == topic


def test_filters_put_a_wildcard_in_one_level() -> None:
    topics = Topics("home")
    assert topics.frame(ANY) == "vp/home/camera/+/frame"
    assert topics.vote(ANY, ANY) == "vp/home/camera/+/vote/+"
    assert topics.status(ANY) == "vp/home/node/+/status"


almost = st.lists(
    st.sampled_from(
        ["vp", "home", "camera", "node", "settings", "fusion", "vote", "frame", "status", "0", "12", "+", "#", "", "VP"]
    ),
    max_size=7,
).map("/".join)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60) | almost)
def test_arbitrary_text_is_a_valid_topic_or_a_topic_error(text: str) -> None:
    try:
        topic = parse(text)
    except TopicError:
        return
    assert is_name(topic.site)
    assert is_name(topic.source)
    assert written(topic) == text


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "vp",
        "vp/home",
        "vp/home/camera/cam0",
        "vp/home/camera/frame",
        "vp//camera/cam0/frame",
        "vp/home/camera//frame",
        "/vp/home/camera/cam0/frame",
        "vp/home/camera/cam0/frame/",
        "vp/home/camera/cam0/frame/1",
        "VP/home/camera/cam0/frame",
        "other/home/camera/cam0/frame",
        "other/home/camera/cam0/vote/1",
        "other/home/node/n/status",
        "$SYS/broker/uptime",
        "vp/home/camera/cam0/status",
        "vp/home/node/n/frame",
        "vp/home/Camera/cam0/frame",
        "vp/home/camera/cam0/vote",
        "vp/home/camera/cam0/vote/",
        "vp/home/camera/cam0/vote/x",
        "vp/home/camera/cam0/vote/-1",
        "vp/home/camera/cam0/vote/+1",
        "vp/home/camera/cam0/vote/01",
        "vp/home/camera/cam0/vote/1.0",
        "vp/home/camera/cam0/vote/1_0",
        "vp/home/camera/cam0/vote/10000",
        "vp/home/camera/cam0/vote/" + "9" * 5000,
        "vp/home/camera/cam0/vote/\u0667",  # an Arabic-Indic seven
        "vp/home/camera/cam0/vote/\uff17",  # a full-width seven
        "vp/home/camera/cam0/vote/1\u0667",
        "vp/home/settings",
        "vp/home/settings/cam0",
        "vp/home/settings/fusion/cam0",
        "vp/home/settings/camera",
        "vp/home/settings/camera/+",
        "vp/home/bundle/ab12/manifest",
        "vp/home/bundle/ab12/manifest/",
        "vp/home/bundle/ab12/manifest/x",
        "vp/home/bundle/ab12/manifest/10000",
        "vp/home/bundle/ab12/manifest/\u0667",
        "vp/home/bundle/ab12/model/0",
        "vp/home/bundle/ab12/model/x/0",
        "vp/home/bundle/ab12/model/0/x",
        "vp/home/bundle/ab12/model/\uff10/0",
        "vp/home/bundle/ab12/model/0/\uff10",
        "vp/home/bundle/ab12/other/0",
        "vp/home/bundle/current/0",
        "vp/home/bundle/other",
        "other/home/bundle/current",
        "other/home/bundle/ab12/manifest/0",
        "other/home/bundle/ab12/model/0/0",
        "vp/home/bundle/+/manifest/0",
        "vp/home/bundle/+/model/0/0",
        "vp/home/camera/cam0/vote/1\n",
        "vp/home/camera/cam0/vote/+",
        "vp/+/camera/cam0/frame",
        "vp/home/camera/+/frame",
        "vp/home/camera/#",
        "vp/home/camera/cam 0/frame",
        "vp/home/camera/.cam0/frame",
        "vp/home/camera/-cam0/frame",
        "vp/home/camera/cam0\n/frame",
        "vp/home/camera/c\u00e4m/frame",
        "vp/home/camera/\uff43\uff41\uff4d/frame",  # full-width letters
        "vp/home/camera/cam\u0667/frame",
        "vp/h\uff4fme/camera/cam0/frame",
        "vp/home\x00/camera/cam0/frame",
        f"vp/home/camera/{LONGEST}n/frame",
        f"vp/{LONGEST}n/node/n/status",
    ],
)
def test_topics_of_others_are_refused(topic: str) -> None:
    with pytest.raises(TopicError) as caught:
        parse(topic)
    assert str(caught.value) == "unknown topic"


@pytest.mark.parametrize("name", ["a", "0", "cam0", "Pi.local_1-b", LONGEST])
def test_legal_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "+",
        "#",
        "a/b",
        "a b",
        ".a",
        "_a",
        "-a",
        "a\n",
        "\u00e4",
        "a\x00",
        LONGEST + "n",
        "a\u0667",
        "\u0667",
        "\uff41",
        "a\uff21",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert not is_name(name)


def test_the_rule_for_names_is_told_in_words() -> None:
    assert NAME_PATTERN in PATTERN_TEXTS
    assert rf"^\+$|{NAME_PATTERN}" in PATTERN_TEXTS
