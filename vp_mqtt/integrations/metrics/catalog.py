"""Every metric that is exported: its name, type, labels and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """A type of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric.

    Attributes:
        name: as it is exported.
        kind: its type.
        labels: names of its labels.
        help: what it means.
        counts: counters in a node's stats that it is filled from, each with the labels that it alone gives.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    counts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


_NODE = ("site", "node", "role")
_CAMERA = ("site", "node", "camera")
_VARIANT = ("site", "node", "variant")
_FUSION = ("site", "node")


def _counter(name: str, labels: tuple[str, ...], meaning: str, count: str) -> Entry:
    return Entry(name, Kind.COUNTER, labels, meaning, {count: {}})


INFO = Entry(
    "vp_node_info",
    Kind.GAUGE,
    (*_NODE, "variant", "camera", "bundle", "digest", "version"),
    "Always 1; the labels say what the node is and runs.",
)
PROBLEM = Entry("vp_node_problem", Kind.GAUGE, _NODE, "Whether something keeps the node from its work (1), or not (0).")
UPTIME = Entry("vp_node_uptime_seconds", Kind.GAUGE, _NODE, "Time since the node started.")
MEMORY = Entry("vp_node_resident_memory_bytes", Kind.GAUGE, _NODE, "Resident memory of the node's process.")
TEMPERATURE = Entry(
    "vp_node_temperature_celsius", Kind.GAUGE, _NODE, "Temperature of the board's hottest thermal zone."
)
ANY_NODE = (
    _counter("vp_node_connections_total", _NODE, "Times that the node has connected to the broker.", "connections"),
    _counter("vp_node_refused_total", _NODE, "Messages and pictures that the node refused as invalid.", "refused"),
    _counter("vp_node_flooded_total", _NODE, "Messages dropped because their source flooded.", "flooded"),
)
RESPONSE = Entry(
    "vp_camera_response_seconds",
    Kind.SUMMARY,
    _CAMERA,
    "Response time, from a frame's capture to the arrival of its label, of the last 1,000 labels.",
)
CAMERA_NODE = (
    _counter("vp_camera_captured_total", _CAMERA, "Pictures that the source has delivered.", "captured"),
    _counter("vp_camera_frames_total", _CAMERA, "Frames published.", "frames"),
    _counter("vp_camera_frames_passed_through_total", _CAMERA, "Frames published as they came.", "passed_through"),
    _counter(
        "vp_camera_frames_shrunk_total", _CAMERA, "Frames made smaller for the limits of broker and boards.", "shrunk"
    ),
    Entry(
        "vp_camera_frames_dropped_total",
        Kind.COUNTER,
        (*_CAMERA, "reason"),
        "Frames not published: no connection (offline), too many unacknowledged (slow_link), or refused (unsent).",
        {
            "dropped_offline": {"reason": "offline"},
            "dropped_slow_link": {"reason": "slow_link"},
            "unsent": {"reason": "unsent"},
        },
    ),
    _counter("vp_camera_still_total", _CAMERA, "Pictures that the motion gate kept back.", "still"),
    _counter("vp_camera_captures_total", _CAMERA, "Requests for a frame that were accepted.", "captures"),
    _counter("vp_camera_labels_total", _CAMERA, "Labels received for its frames.", "labels"),
    _counter("vp_camera_unlabelled_total", _CAMERA, "Frames whose label did not come within 5 s.", "unlabelled"),
)
VOTE = Entry(
    "vp_variant_vote_seconds",
    Kind.SUMMARY,
    _VARIANT,
    "Time from a frame's arrival at the board to its vote, of the last 1,000 votes.",
)
VARIANT_NODE = (
    _counter("vp_variant_frames_total", _VARIANT, "Frames on which the model was run.", "frames"),
    _counter("vp_variant_frames_dropped_total", _VARIANT, "Frames replaced by newer ones.", "frames_dropped"),
    _counter("vp_variant_votes_total", _VARIANT, "Votes published.", "votes"),
    _counter("vp_variant_votes_unsent_total", _VARIANT, "Votes that could not be published.", "votes_unsent"),
    _counter("vp_variant_left_group_total", _VARIANT, "Times that a replica was too slow for its share.", "left_group"),
)
WINDOW = Entry(
    "vp_fusion_window_seconds",
    Kind.SUMMARY,
    _FUSION,
    "Time from a frame's announce to the closing of its window, of the last 1,000 frames.",
)
DEADLINE = Entry("vp_fusion_deadline_seconds", Kind.GAUGE, _FUSION, "How long the votes on a frame are waited for.")
AGREEMENT = Entry(
    "vp_fusion_agreement_ratio",
    Kind.GAUGE,
    (*_FUSION, "camera"),
    "Share of the votes in time whose most probable class is the label's, mean of 100 labels with two votes or more.",
)
FUSION_NODE = (
    _counter("vp_fusion_frames_total", _FUSION, "Frames announced.", "announced"),
    _counter("vp_fusion_announces_duplicate_total", _FUSION, "Repeated announces.", "duplicate_announces"),
    _counter("vp_fusion_labels_total", _FUSION, "Labels published.", "labels"),
    _counter("vp_fusion_labels_unsent_total", _FUSION, "Labels that could not be published.", "labels_unsent"),
    _counter("vp_fusion_labels_without_votes_total", _FUSION, "Labels without a single vote.", "labels_without_votes"),
    _counter("vp_fusion_labels_unknown_total", _FUSION, "Labels that say unknown.", "labels_unknown"),
    _counter("vp_fusion_states_total", _FUSION, "States published.", "states"),
    _counter("vp_fusion_states_unsent_total", _FUSION, "States that could not be published.", "states_unsent"),
    _counter("vp_fusion_votes_total", _FUSION, "Votes that counted.", "votes"),
    _counter("vp_fusion_votes_late_total", _FUSION, "Votes that came after their window had closed.", "late"),
    _counter("vp_fusion_votes_overdue_total", _FUSION, "Of the late votes: those after the deadline.", "overdue"),
    _counter("vp_fusion_votes_duplicate_total", _FUSION, "Second votes of a variant on a frame.", "duplicate_votes"),
    _counter(
        "vp_fusion_frames_abandoned_total", _FUSION, "Frames left without a label: another node has them.", "abandoned"
    ),
    _counter(
        "vp_fusion_frames_of_others_total", _FUSION, "Announces of frames that another node labels.", "others_frames"
    ),
    _counter("vp_fusion_votes_unannounced_total", _FUSION, "Votes on frames not announced.", "unannounced"),
    _counter(
        "vp_fusion_suspected_total", _FUSION, "Times that a silent variant was no longer waited for.", "suspected"
    ),
    _counter("vp_fusion_messages_dropped_total", _FUSION, "Messages dropped from a full queue.", "messages_dropped"),
)

PRESENCE = Entry(
    "vp_node_presence",
    Kind.GAUGE,
    (*_NODE, "presence"),
    "1 for what the node is: online, silent, stopped or offline; 0 for the others.",
)
HEARD = Entry("vp_node_last_heard_timestamp_seconds", Kind.GAUGE, _NODE, "When the node was last heard, since 1970.")
CONNECTED = Entry(
    "vp_site_connected", Kind.GAUGE, ("site",), "Whether the page is connected to the broker (1) or not (0)."
)
PROBLEMS = Entry("vp_site_problems", Kind.GAUGE, ("site",), "Number of problems that the page shows.")
REFUSED = Entry("vp_site_refused_total", Kind.COUNTER, ("site",), "Messages that the page refused as invalid.")
LABELS = Entry(
    "vp_site_labels_total",
    Kind.COUNTER,
    ("site", "camera", "closed_by"),
    "Labels received, by why their window closed: complete, decided, deadline or skipped.",
)
VOTES = Entry(
    "vp_site_votes_total",
    Kind.COUNTER,
    ("site", "variant", "outcome"),
    "What became of the votes on these labels: voted, late, not_needed or away (nobody waited for the board).",
)
COMPARED = Entry(
    "vp_site_votes_compared_total",
    Kind.COUNTER,
    ("site", "camera", "variant", "agrees"),
    "Votes, late ones too, by whether their most probable class is the label's (yes, no); none on unknown frames.",
)
LAST_LABEL = Entry(
    "vp_site_last_label_timestamp_seconds",
    Kind.GAUGE,
    ("site", "camera"),
    "When the newest label of a camera arrived, since 1970.",
)

OF_NODES = (
    *(INFO, PROBLEM, UPTIME, MEMORY, TEMPERATURE, *ANY_NODE),
    *(RESPONSE, *CAMERA_NODE),
    *(VOTE, *VARIANT_NODE),
    *(WINDOW, DEADLINE, AGREEMENT, *FUSION_NODE),
)
"""Exported by nodes with `--metrics`, and by the page for all nodes."""
OF_SITE = (PRESENCE, HEARD, CONNECTED, PROBLEMS, REFUSED, LABELS, VOTES, COMPARED, LAST_LABEL)
"""Exported by the page alone."""
