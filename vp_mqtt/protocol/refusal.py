"""Why a message is refused, in words that depend on its form only, and not on what it holds.

Reasons are counted and logged by their text: one kind of fault is to be one reason, whatever a client sends.
"""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vp_mqtt.files import error_place, error_reason, is_of_choice, join_choices

_OF_JSON = {
    "dict_type": "must be a JSON object",
    "json_invalid": "not valid JSON",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
}


def refusal_reason(model: type[BaseModel], error: ValidationError) -> str:
    """Return the first thing that is wrong with a message, such as "motion.threshold: must be at least 1".

    Args:
        model: the message's.
        error: of its validation.
    """
    first, *others = error.errors(include_url=False, include_input=False)
    wrong = [first]
    if is_of_choice(first):
        wrong += [one for one in others if is_of_choice(one) and error_place(one) == error_place(first)]
    return f"{_field(model, first['loc']) or 'message'}: {join_choices([_reason(one) for one in wrong])}"


def _field(model: type[BaseModel] | None, place: tuple[int | str, ...]) -> str:
    """Return the field that an error is in, without keys and numbers, which the sender chooses."""
    parts = []
    for part in place:
        if model is not None and part in model.model_fields:
            parts.append(str(part))
            model = _nested(model.model_fields[str(part)].annotation)
    return ".".join(parts)


def _nested(annotation: object) -> type[BaseModel] | None:
    """Return the model that a field holds, perhaps several times or by keys; None if it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for kind in get_args(annotation) if (model := _nested(kind)) is not None), None)


def _reason(details: ErrorDetails) -> str:
    context = {name: value for name, value in details.get("ctx", {}).items() if name != "actual_length"}
    return _OF_JSON.get(details["type"]) or error_reason({**details, "ctx": context})
