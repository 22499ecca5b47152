from __future__ import annotations

import pytest

from vp_mqtt.config.number_lists import whole_numbers


def test_numbers_are_read_in_their_order() -> None:
    assert whole_numbers("3, 0,12,3") == [3, 0, 12, 3]
    assert whole_numbers("0") == [0]


@pytest.mark.parametrize("text", ["", ",", "0,", "0;3", "1.5", "0,-1", "three", "9" * 5000])
def test_what_is_no_list_of_numbers_gives_none_of_them(text: str) -> None:
    assert whole_numbers(text) == []
