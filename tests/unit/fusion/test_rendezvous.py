from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vp_mqtt.fusion.rendezvous import owner, score

names = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
members = st.sets(names, min_size=1, max_size=8)


def test_the_cameras_are_spread_evenly() -> None:
    cameras = [f"cam{n}" for n in range(3000)]
    counts = Counter(owner(("fusion", "fusion-pi-1", "fusion-pi-2"), camera) for camera in cameras)
    assert all(900 < count < 1100 for count in counts.values())


@given(members, names, st.lists(names, min_size=1, max_size=50))
def test_a_member_that_comes_takes_cameras_and_moves_no_other(present: set[str], new: str, cameras: list[str]) -> None:
    for camera in cameras:
        assert owner({*present, new}, camera) in {owner(present, camera), new}


@given(members, names)
def test_the_order_in_which_members_are_known_does_not_matter(present: set[str], camera: str) -> None:
    assert owner(sorted(present), camera) == owner(sorted(present, reverse=True), camera)
    assert len({score(member, camera) for member in present}) == len(present)
