from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vp_mqtt.protocol.class_names import normalize
from vp_mqtt.protocol.frames import Announce, ClosedBy, FrameId
from vp_mqtt.protocol.messages import (
    MAX_MESSAGE_BYTES,
    AnnounceMessage,
    ClassScore,
    LabelMessage,
    Message,
    MessageError,
    Quantiles,
    State,
    StatsMessage,
    StatusMessage,
    decode_of_node,
)

NAME = "must have 1 to 64 characters from A-Z a-z 0-9 _ . - and start with a letter or a digit"

thorough = settings(max_examples=200, deadline=None)

ANNOUNCE: dict[str, Any] = {"frame": "0000002a-7", "captured": 1700000000.25, "truth": "cat"}
LABEL: dict[str, Any] = {
    "camera": "cam0",
    "frame": "0000002a-7",
    "label": "cat",
    "class_index": 3,
    "confidence": 0.75,
    "score": 0.5,
    "top": [{"label": "cat", "confidence": 0.75}, {"label": "dog", "confidence": 0.25}],
    "voted": [0, 2],
    "missing": [1],
    "alive": [0, 1, 2],
    "closed_by": "decided",
    "latency_ms": 12.5,
    "captured": 1700000000.25,
    "valid_for_s": 5.0,
    "bundle": "fashion-mnist",
    "truth": "cat",
}
STATUS: dict[str, Any] = {
    "state": "online",
    "node": "variant-0-pi",
    "role": "variant",
    "version": "0.1.0",
    "host": "pi",
    "client_id": "vp-home-variant-0-pi",
    "instance": "89abcdef",
    "started": 1700000000.0,
    "variant": 0,
    "bundle": "fashion-mnist",
    "digest": "0123abcd",
}
STATS: dict[str, Any] = {
    "node": "variant-0-pi",
    "uptime_s": 12.5,
    "counts": {"frames": 10, "votes": 9},
    "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0},
    "rss_mb": 80.5,
}
ALL: list[tuple[type[Message], dict[str, Any]]] = [
    (AnnounceMessage, ANNOUNCE),
    (LabelMessage, LABEL),
    (StatusMessage, STATUS),
    (StatsMessage, STATS),
]
NUMBERS = [
    (AnnounceMessage, ANNOUNCE, "captured"),
    (LabelMessage, LABEL, "confidence"),
    (LabelMessage, LABEL, "score"),
    (LabelMessage, LABEL, "latency_ms"),
    (LabelMessage, LABEL, "captured"),
    (LabelMessage, LABEL, "valid_for_s"),
    (StatusMessage, STATUS, "started"),
    (StatsMessage, STATS, "uptime_s"),
    (StatsMessage, STATS, "rss_mb"),
]

each_kind = pytest.mark.parametrize(("kind", "fields"), ALL)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@each_kind
def test_every_field_survives_the_way_through_json(kind: type[Message], fields: dict[str, Any]) -> None:
    message = kind.decode(as_json(fields))
    assert json.loads(message.encode()) == fields
    assert kind.decode(message.encode()) == message


def test_a_variant_cannot_both_have_voted_and_be_missing() -> None:
    forged = json.dumps(LABEL | {"missing": [1, 2]}).encode()
    with pytest.raises(MessageError, match=r"^message: .* variant is both in 'voted' and in 'missing'$"):
        LabelMessage.decode(forged)


SHOWN = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
# The composed form may be longer.
CLASS_NAMES = st.text(SHOWN, min_size=1, max_size=60).map(normalize)


@thorough
@given(
    st.builds(FrameId, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.floats(0, 1e11),
    st.none() | CLASS_NAMES,
)
def test_announces_survive_the_wire(frame: FrameId, captured: float, truth: str | None) -> None:
    announce = Announce(frame, captured, truth)
    assert AnnounceMessage.decode(AnnounceMessage.of(announce).encode()).announce() == announce


@thorough
@given(
    st.lists(st.integers(0, 65_535), max_size=64),
    st.none() | st.floats(0, 1),
    st.sampled_from(ClosedBy),
    st.lists(st.builds(ClassScore, label=CLASS_NAMES, confidence=st.floats(0, 1)), max_size=10),
)
def test_labels_survive_the_wire(
    variants: list[int], share: float | None, closed_by: ClosedBy, top: list[ClassScore]
) -> None:
    changed = {"voted": tuple(variants), "confidence": share, "closed_by": closed_by, "top": tuple(top)}
    label = LabelMessage.decode(as_json(LABEL | {"missing": []})).model_copy(update=changed)
    assert LabelMessage.decode(label.encode()) == label


def test_a_label_without_votes_has_nulls() -> None:
    nothing: dict[str, Any] = {
        "label": None,
        "class_index": None,
        "confidence": None,
        "score": None,
        "top": [],
        "voted": [],
    }
    label = LabelMessage.decode(as_json(LABEL | nothing))
    fields = json.loads(label.encode())
    for name, value in nothing.items():
        assert fields[name] == value
    assert LabelMessage.decode(label.encode()) == label


@pytest.mark.parametrize("field", ["label", "class_index", "confidence", "score"])
def test_what_may_be_null_in_a_label_may_not_be_left_out(field: str) -> None:
    with pytest.raises(MessageError, match=f"^{field}: is missing$"):
        LabelMessage.decode(as_json({name: value for name, value in LABEL.items() if name != field}))


def test_a_truth_that_is_not_known_is_left_out() -> None:
    unknown = {name: value for name, value in LABEL.items() if name != "truth"}
    assert json.loads(LabelMessage.decode(as_json(unknown)).encode()) == unknown
    assert json.loads(AnnounceMessage(frame="0000002a-7", captured=1).encode()) == {
        "frame": "0000002a-7",
        "captured": 1,
    }


@pytest.mark.parametrize("known", [True, False])
def test_whether_a_label_is_known_is_left_out_only_if_nobody_decides_it(*, known: bool) -> None:
    assert "known" not in json.loads(LabelMessage.decode(as_json(LABEL)).encode())
    assert LabelMessage.decode(as_json(LABEL | {"known": None})).known is None
    label = LabelMessage.decode(as_json(LABEL | {"known": known}))
    assert label.known is known
    assert json.loads(label.encode()) == LABEL | {"known": known}


@each_kind
def test_unknown_fields_are_ignored(kind: type[Message], fields: dict[str, Any]) -> None:
    newer = fields | {"added_in_2030": {"a": [1, 2]}, "schema": None}
    assert kind.decode(as_json(newer)) == kind.decode(as_json(fields))


@each_kind
@thorough
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_a_message_error(kind: type[Message], fields: dict[str, Any], data: bytes) -> None:
    assert fields
    with pytest.raises(MessageError):
        kind.decode(data)


@each_kind
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_field_of_another_kind_is_accepted_only_if_it_can_be_sent_again(
    kind: type[Message], fields: dict[str, Any], data: st.DataObject
) -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    field = data.draw(st.sampled_from(sorted(fields)))
    try:
        message = kind.decode(as_json(fields | {field: data.draw(anything)}))
    except MessageError:
        return
    assert kind.decode(message.encode()) == message
    json.loads(message.encode(), parse_constant=pytest.fail)


@pytest.mark.parametrize(("kind", "fields", "field"), NUMBERS)
@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -1.0, 1e12, 1e308, 10**400],
    ids=["nan", "inf", "-inf", "-1", "1e12", "1e308", "10**400"],
)
def test_numbers_that_are_not_finite_or_out_of_range_are_refused(
    kind: type[Message], fields: dict[str, Any], field: str, value: float
) -> None:
    with pytest.raises(MessageError, match=f"^({field}|message): "):
        kind.decode(as_json(fields | {field: value}))


@pytest.mark.parametrize(("kind", "fields", "field"), NUMBERS)
@pytest.mark.parametrize("value", ["soon", [1], {"a": 1}, "", "12", True])
def test_values_of_another_type_than_a_number_are_refused(
    kind: type[Message], fields: dict[str, Any], field: str, value: object
) -> None:
    with pytest.raises(MessageError, match=f"^{field}: "):
        kind.decode(as_json(fields | {field: value}))


@pytest.mark.parametrize("value", [-1, 65_536, 1.5, "1", None, True, [0], 10**30])
def test_indices_of_variants_are_integers_in_range(value: object) -> None:
    for field in ("voted", "missing", "alive"):
        with pytest.raises(MessageError, match=f"^{field}: "):
            LabelMessage.decode(as_json(LABEL | {field: [0, value]}))


@pytest.mark.parametrize(
    "value",
    [1.5, "3", None, True, 10**30, 10**4000, -(10**30)],
    ids=["1.5", "text", "null", "true", "10**30", "10**4000", "-10**30"],
)
def test_counts_are_integers_of_a_size_that_can_be_counted(value: object) -> None:
    with pytest.raises(MessageError, match=r"^(counts|message): "):
        StatsMessage.decode(as_json(STATS | {"counts": {"frames": value}}))


@pytest.mark.parametrize(
    ("kind", "fields", "changes", "reason"),
    [
        (AnnounceMessage, ANNOUNCE, {"frame": "7"}, "frame: not a frame id"),
        (AnnounceMessage, ANNOUNCE, {"frame": "0000002a-4294967296"}, "frame: not a frame id"),
        (AnnounceMessage, ANNOUNCE, {"frame": 7}, "frame: must be text"),
        (AnnounceMessage, ANNOUNCE, {"truth": ""}, "truth: must have at least 1 character"),
        (AnnounceMessage, ANNOUNCE, {"truth": "c" * 201}, "truth: must have at most 200 characters"),
        (AnnounceMessage, ANNOUNCE, {"truth": 1}, "truth: must be text"),
        (LabelMessage, LABEL, {"camera": "+"}, f"camera: {NAME}"),
        (LabelMessage, LABEL, {"camera": "cam0\n"}, f"camera: {NAME}"),
        (
            LabelMessage,
            LABEL,
            {"closed_by": "boredom"},
            "closed_by: must be 'complete', 'decided', 'deadline' or 'skipped'",
        ),
        (LabelMessage, LABEL, {"confidence": 1.01}, "confidence: must be at most 1"),
        (LabelMessage, LABEL, {"top": LABEL["top"] * 6}, "top: must have at most 10 items"),
        (LabelMessage, LABEL, {"top": [{"label": "cat"}]}, "top.confidence: is missing"),
        (StatusMessage, STATUS, {"state": "asleep"}, "state: must be 'online', 'stopped' or 'offline'"),
        (StatusMessage, STATUS, {"role": "a/b"}, f"role: {NAME}"),
        (StatusMessage, STATUS, {"node": "a/b"}, f"node: {NAME}"),
        (StatusMessage, STATUS, {"digest": "0123ABCD"}, "digest: must have 8 digits from 0-9 a-f"),
        (StatusMessage, STATUS, {"digest": "0123abcd0"}, "digest: must have 8 digits from 0-9 a-f"),
        (StatusMessage, STATUS, {"host": "h" * 256}, "host: must have at most 255 characters"),
        (StatusMessage, STATUS, {"variant": -1}, "variant: must be at least 0"),
        (StatsMessage, STATS, {"counts": []}, "counts: must be a JSON object"),
        (StatsMessage, STATS, {"latency_ms": {"p50": 1}}, "latency_ms.p95: is missing"),
    ],
)
def test_the_reason_names_the_field_but_not_what_it_holds(
    kind: type[Message], fields: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(MessageError) as caught:
        kind.decode(as_json(fields | changes))
    assert str(caught.value) == reason


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"frame": "\\ud800"}', b"\x00", b'{"a": NaN'])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match=r"^message: not valid JSON$"):
        StatusMessage.decode(data)


@pytest.mark.parametrize("data", [b"null", b"[]", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match=r"^message: must be a JSON object$"):
        StatusMessage.decode(data)


def test_json_nested_deeply_is_refused_even_in_a_field_that_is_ignored() -> None:
    depth = 20_000
    data = as_json(ANNOUNCE)[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    assert len(data) < MAX_MESSAGE_BYTES
    with pytest.raises(MessageError, match=r"^message: not valid JSON$"):
        AnnounceMessage.decode(data)


def test_messages_up_to_the_limit_are_read_and_larger_ones_are_not() -> None:
    data = as_json(ANNOUNCE)
    assert AnnounceMessage.decode(data + b" " * (MAX_MESSAGE_BYTES - len(data))).truth == "cat"
    with pytest.raises(MessageError, match=r"^too large$"):
        AnnounceMessage.decode(data + b" " * (MAX_MESSAGE_BYTES - len(data) + 1))


def test_a_status_without_variant_is_one_of_another_role() -> None:
    fields = {name: value for name, value in STATUS.items() if name not in {"variant", "bundle", "digest"}}
    status = StatusMessage.decode(as_json(fields | {"role": "camera", "state": "stopped"}))
    assert (status.state, status.variant, status.bundle, status.digest) == (State.STOPPED, None, None, None)
    assert json.loads(status.encode()) == fields | {"role": "camera", "state": "stopped"}


def test_stats_without_latencies_leave_them_out() -> None:
    assert json.loads(StatsMessage(node="n", uptime_s=1, counts={}).encode()) == {
        "node": "n",
        "uptime_s": 1,
        "counts": {},
    }
    assert Quantiles(p50=1, p95=2, p99=3) == StatsMessage.decode(as_json(STATS)).latency_ms


@pytest.mark.parametrize("field", ["version", "host", "client_id", "problem"])
def test_what_a_status_says_to_people_controls_no_terminal(field: str) -> None:
    status = StatusMessage.decode(json.dumps(STATUS | {field: "a\x1b]0;x\x07\nb"}).encode())
    assert getattr(status, field) == "a?]0;x??b"


@pytest.mark.parametrize(("kind", "fields"), [(StatusMessage, STATUS), (StatsMessage, STATS)])
def test_a_node_speaks_for_itself_only(kind: Any, fields: dict[str, Any]) -> None:
    data = json.dumps(fields).encode()
    assert decode_of_node(kind, fields["node"], data) == kind.decode(data)
    with pytest.raises(MessageError, match="of another node"):
        decode_of_node(kind, "variant-1-pi", data)
