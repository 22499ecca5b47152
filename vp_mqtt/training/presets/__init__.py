"""Families of variants, by name or from a TOML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.config.number_lists import whole_numbers
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error, read_toml

_BUILT_IN = Path(__file__).parent / "families"


def known_families() -> list[str]:
    """Return the names of the built-in families."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


def family_as_toml(family: FamilySpec) -> str:
    """Return a family as the text of a TOML file that `load_family` reads."""
    lines = [f'name = "{family.name}"']
    for variant in family.variants:
        lines += ["", "[[variants]]"]
        lines += [f"{key} = {_toml_value(value)}" for key, value in variant.model_dump(exclude_none=True).items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else str(value)


def load_family(name_or_file: str) -> FamilySpec:
    """Return a built-in family by name, or a family from a TOML file.

    Raises:
        UserError: there is no such family, or the file does not describe one.
    """
    path = _BUILT_IN / f"{name_or_file}.toml" if name_or_file in known_families() else Path(name_or_file)
    hint = f"give a TOML file, or one of {', '.join(known_families())}"
    table = read_toml(path, name=f"--family {name_or_file}", hint=hint)
    try:
        return FamilySpec.model_validate(table)
    except ValidationError as error:
        raise UserError(f"--family {name_or_file}: {first_error(error)}") from None


def choose_variants(family: FamilySpec, numbers: str) -> FamilySpec:
    """Return the family with some of its variants only.

    Args:
        family: to choose from.
        numbers: indices of the variants, such as "0,2".

    Raises:
        UserError: the family has no such variant.
    """
    last = len(family.variants) - 1
    chosen = sorted(set(whole_numbers(numbers)))
    if not chosen or chosen[-1] > last:
        raise UserError(
            f"--only {numbers}: '{family.name}' has variants 0 to {last}; name some of them, such as 0,{last}"
        )
    return family.model_copy(update={"variants": tuple(family.variants[index] for index in chosen)})
