from __future__ import annotations

from vp_mqtt.web.teaching.trainer import as_sent


def test_the_page_says_why_boards_have_not_taken_a_bundle() -> None:
    boards = {"taken": ["a"], "waiting": ["b", "c"], "silent": ["d"], "pinned": {"e": "old"}, "fusion_pinned": {}}
    sent = as_sent({"bundle": "own", "boards": boards | {"reasons": {"b": "it is not signed"}}})
    assert sent.taken == ("a",)
    assert sent.others == ("b not yet: it is not signed", "c not yet", "d is silent", "e keeps 'old'")
