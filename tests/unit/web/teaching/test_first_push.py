from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.tiny import write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.web.teaching.first_push import FirstPush

NEW = "ab" * 32


@pytest.fixture
def first(tmp_path: Path) -> FirstPush:
    return FirstPush(tmp_path / "first-push.json")


def test_what_ran_before_the_first_push_is_remembered_until_there_is_another_one(first: FirstPush) -> None:
    assert first.before(NEW[:8]) is None
    first.note(NEW, None, "caltech101")
    assert first.before(NEW[:8]) == "caltech101"
    assert first.before("0" * 8) is None, "another bundle was pushed meanwhile"
    assert first.before(None) is None
    first.note(NEW, "cd" * 32, "caltech101")
    assert first.before(NEW[:8]) is None, "the broker keeps it"


def test_a_bundle_that_is_sent_again_does_not_take_the_place_of_the_one_before(
    first: FirstPush, tmp_path: Path
) -> None:
    own, old = write_bundle(tmp_path / "own", "own"), write_bundle(tmp_path / "old", "old")
    digest = open_bundle(own).manifest.digest.hex()
    first.note(digest, None, str(old))
    first.note(digest, None, str(own))
    first.note(digest, None, None)
    assert first.before(digest[:8]) == str(old)
    shutil.rmtree(old)
    assert first.before(digest[:8]) is None
