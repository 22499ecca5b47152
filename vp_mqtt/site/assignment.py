"""Which variant should run on which board, given the boards' measured speeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error
from vp_mqtt.site.bottleneck import assign

_Milliseconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class _Speed(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class VariantSpeed(_Speed):
    """One variant's time on a board: JPEG decode, resize and model."""

    index: int = Field(ge=0, lt=65_536)
    total_ms: _Milliseconds


class BoardSpeed(_Speed):
    """The output of `vp bench speed --json` on a board."""

    board: str = Field(min_length=1, max_length=255)
    family: str = Field(min_length=1, max_length=255)
    variants: tuple[VariantSpeed, ...] = Field(min_length=1)

    def times(self) -> dict[int, float]:
        """Return every variant's time, in ms, by its index."""
        return {variant.index: variant.total_ms for variant in self.variants}


@dataclass(frozen=True)
class Place:
    """A variant on a board, and its time there, in ms."""

    variant: int
    board: str
    ms: float


@dataclass(frozen=True)
class Assignment:
    """A proposal.

    Attributes:
        family: the family that the boards were measured with.
        proposed: a board for every variant, by index.
        plain: the plain order: the first variant on the first board, the second on the second, and so on.
        spare: boards without a variant.
    """

    family: str
    proposed: tuple[Place, ...]
    plain: tuple[Place, ...]
    spare: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what `vp bench plan --json` prints."""
        return {
            "family": self.family,
            "places": [{"variant": one.variant, "board": one.board, "ms": one.ms} for one in self.proposed],
            "slowest_ms": slowest(self.proposed),
            "plain": [{"variant": one.variant, "board": one.board, "ms": one.ms} for one in self.plain],
            "plain_slowest_ms": slowest(self.plain),
            "gain": round(slowest(self.plain) / slowest(self.proposed), 3),
            "spare": list(self.spare),
        }


def slowest(places: Sequence[Place]) -> float:
    """Return the time of the slowest board, in ms, after which the last vote is available."""
    return max(place.ms for place in places)


def read_board(path: Path) -> BoardSpeed:
    """Read the output of `vp bench speed --json`.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        return BoardSpeed.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise UserError(f"{path}: not what `vp bench speed --json` prints ({first_error(error)})") from None


def propose(boards: Sequence[BoardSpeed], selected: Sequence[int] | None = None) -> Assignment:
    """Propose a board for every variant.

    Args:
        boards: measured boards, in the plain order; one given twice stands for two of its kind.
        selected: indices of the variants that are to run, each once; None for all.

    Raises:
        UserError: the boards were measured with different families, a variant was not measured, or there are fewer
            boards than variants.
    """
    family = boards[0].family
    for board in boards:
        if board.family != family:
            raise UserError(
                f"board '{board.board}' was measured with '{board.family}', '{boards[0].board}' with "
                f"'{family}': measure both with one family"
            )
    variants = sorted(boards[0].times()) if selected is None else list(selected)
    for board in boards:
        missing = [variant for variant in variants if variant not in board.times()]
        if missing:
            raise UserError(f"board '{board.board}': variant {missing[0]} was not measured there")
    if len(boards) < len(variants):
        raise UserError(
            f"{len(boards)} boards for {len(variants)} variants: choose {len(boards)} of them with --variants, such as "
            f"--variants {','.join(map(str, variants[: len(boards)]))}"
        )
    names = _distinct([board.board for board in boards])
    times = [[board.times()[variant] for board in boards] for variant in variants]
    assigned = assign(times)
    return Assignment(
        family=family,
        proposed=tuple(
            Place(v, names[b], times[row][b]) for row, (v, b) in enumerate(zip(variants, assigned, strict=True))
        ),
        plain=tuple(Place(variant, names[row], times[row][row]) for row, variant in enumerate(variants)),
        spare=tuple(name for index, name in enumerate(names) if index not in assigned),
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with -2, -3, .. appended to repetitions."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return distinct
