from __future__ import annotations

import unicodedata

import pytest
from pydantic import TypeAdapter, ValidationError

from vp_mqtt.protocol.class_names import LONGEST_CLASS_NAME, ClassName, as_class_name

ADAPTER: TypeAdapter[str] = TypeAdapter(ClassName)
CONTROLS = ["\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800"]


@pytest.mark.parametrize("name", ["a", "T-shirt/top", "K\u00fcche", "\u732b", "\u0915\u094d\u200d\u0937", "x" * 200])
def test_a_name_in_any_script_is_valid(name: str) -> None:
    assert ADAPTER.validate_python(name) == name
    assert as_class_name(name) == name


@pytest.mark.parametrize("character", CONTROLS)
def test_control_characters_are_refused_or_replaced(character: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(f"a{character}b")
    assert as_class_name(f"a{character}b") == "a?b"


def test_the_reason_is_given() -> None:
    with pytest.raises(ValidationError, match="a class name must not hold control characters"):
        ADAPTER.validate_python("a\nb")


def test_a_name_has_1_to_200_characters() -> None:
    for name in ("", "x" * 201):
        with pytest.raises(ValidationError):
            ADAPTER.validate_python(name)
    assert as_class_name("x" * 199 + "yz") == "x" * 199 + "y"
    assert LONGEST_CLASS_NAME == 200


def test_names_that_differ_only_in_their_unicode_form_are_one() -> None:
    composed, decomposed = (unicodedata.normalize(form, "K\u00e4se") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert ADAPTER.validate_python(decomposed) == as_class_name(decomposed) == composed
