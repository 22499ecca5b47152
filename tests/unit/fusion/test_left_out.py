from __future__ import annotations

from vp_mqtt.fusion.left_out import LeftOut


def test_what_lasts_is_named_and_a_camera_that_has_moved_meanwhile_is_not() -> None:
    left_out = LeftOut()
    assert left_out.note({"cam0": "b", "cam1": "b"}, 0.0) is None
    assert left_out.note({"cam0": "b", "cam1": "c"}, 4.0) is None
    found = left_out.note({"cam0": "b", "cam1": "c"}, 5.0)
    assert found is not None
    assert "camera cam0 has no labels" in found
    assert "cam1" not in found
    assert left_out.note({}, 6.0) is None
    assert left_out.note({"cam0": "b"}, 7.0) is None


def test_many_cameras_are_counted() -> None:
    left_out = LeftOut()
    heirs = {f"cam{n}": "bc"[n % 2] for n in range(9)}
    left_out.note(heirs, 0.0)
    found = left_out.note(heirs, 5.0)
    assert found is not None
    assert found.startswith(
        "cameras cam0, cam1, cam2 and 6 more have no labels: by the names they fall to b, c, which do not take them; "
    )
