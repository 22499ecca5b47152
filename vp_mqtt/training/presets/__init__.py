"""Families of variants, by name or from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from vp_mqtt.bundle.manifest import FamilySpec
from vp_mqtt.errors import UserError

_BOXED = Path(__file__).parent / "families"


def known_families() -> list[str]:
    """Return the names of the families in the box."""
    return sorted(path.stem for path in _BOXED.glob("*.toml"))


def load_family(name_or_file: str) -> FamilySpec:
    """Return a family by the name of one in the box, or from a TOML file.

    Raises:
        UserError: there is no such family, or the file is not one.
    """
    path = _BOXED / f"{name_or_file}.toml" if name_or_file in known_families() else Path(name_or_file)
    try:
        return FamilySpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(
            f"--family {name_or_file}: {error.strerror}; give a TOML file, or one of {', '.join(known_families())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--family {path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"--family {path}: {where}: {first['msg']}") from None
