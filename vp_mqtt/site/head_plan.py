"""A head office's plan: the file cells.toml, with its broker, its people and its cells, each a site of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from vp_mqtt.errors import UserError
from vp_mqtt.files import error_lines, read_toml
from vp_mqtt.site.plan import BrokerPlan, Hosts, Line, Name, PersonPlan, SitePlan, Table, read_plan
from vp_mqtt.site.problems import exposed_sources, hints, problems

_HOW = "docs/cells.md shows one"
_FILE_NAME = "cells.toml"
_SITE_ONLY = frozenset(SitePlan.model_fields) - {"name", "broker", "people", "certificate_days"}


class CellPlan(Table):
    """A cell: a site whose broker is bridged to that of the head office.

    Attributes:
        plan: file of the site's plan, relative to the head office's. Several cells may share one.
        name: the cell's name, in place of the one in its plan.
        broker: host name or IP address of its broker, or a list, in place of the one in its plan.
    """

    plan: Line
    name: Name | None = None
    broker: Hosts | None = None


class HeadPlan(Table):
    """A head office.

    Attributes:
        name: of the head office.
        labels: whether labels travel to it; states, statuses and stats always do.
        bundles: whether bundles that are pushed at its broker travel down to the cells.
        certificate_days: how long certificates of its broker, people and bridges are valid, in days.
        broker: its broker, as the cells' brokers reach it.
        cells: its cells.
        people: accounts at its broker.
    """

    name: Name = "head-office"
    labels: bool = True
    bundles: bool = False
    certificate_days: int = Field(default=825, ge=1, le=3650)
    broker: BrokerPlan
    cells: tuple[CellPlan, ...] = Field(min_length=1, max_length=10_000)
    people: tuple[PersonPlan, ...] = Field(
        default=(PersonPlan(name="operator", role="operator"), PersonPlan(name="watch")), min_length=1
    )

    def operator(self) -> str:
        """Return the account that sees all cells: the first operator's, or the first one's."""
        return next((person.name for person in self.people if person.role == "operator"), self.people[0].name)


_HEAD_ONLY = frozenset(HeadPlan.model_fields) - SitePlan.model_fields.keys()


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with its site's plan.

    Attributes:
        plan: of the site, with the cell's name and broker.
        file: of the plan.
    """

    plan: SitePlan
    file: Path

    @property
    def base(self) -> Path:
        """Folder that relative paths in the plan start from."""
        return self.file.parent

    @property
    def name(self) -> str:
        """Name of the cell and of its site."""
        return self.plan.name


@dataclass(frozen=True, slots=True)
class Head:
    """A head office with its cells."""

    plan: HeadPlan
    cells: tuple[Cell, ...]

    def cell(self, name: str) -> Cell:
        """Return a cell.

        Raises:
            UserError: there is none of this name.
        """
        found = next((cell for cell in self.cells if cell.name == name), None)
        if found is None:
            raise UserError(f"there is no cell '{name}' in the plan")
        return found


def is_head(file: Path) -> bool:
    """Return whether a plan is that of a head office; False too if it cannot be read, which its reader reports.

    One that names no cells yet is told from a site's by its other keys, or, if it has only those of both, by its name.
    """
    try:
        document = read_toml(file)
    except UserError:
        return False
    if "cells" in document:
        return True
    return not _SITE_ONLY & document.keys() and (not _HEAD_ONLY.isdisjoint(document) or file.name == _FILE_NAME)


def read_head(file: Path) -> Head:
    """Read the plan of a head office, and those of its cells.

    Raises:
        UserError: a file cannot be read, or is not such a plan.
    """
    document = read_toml(file, hint="" if file.exists() else f"write one: {_HOW}")
    if _SITE_ONLY & document.keys() and "cells" not in document:
        raise UserError(f"{file}: no [[cells]]: it is not the plan of a head office; {_HOW}")
    if not document.get("cells", ()):
        raise UserError(f"{file}: name at least one [[cells]]; {_HOW}")
    try:
        plan = HeadPlan.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{file}: {'; '.join(error_lines(error))}") from None
    # Cells that are alike share a file.
    read = cache(read_plan)
    return Head(plan, tuple(_cell(cell, file.absolute().parent, read) for cell in plan.cells))


def _cell(cell: CellPlan, base: Path, read: Callable[[Path], SitePlan]) -> Cell:
    file = base / cell.plan
    plan = read(file)
    changes: dict[str, Any] = {}
    if cell.name is not None:
        changes["name"] = cell.name
    if cell.broker is not None:
        changes["broker"] = plan.broker.model_copy(update={"hosts": cell.broker})
    return Cell(plan.model_copy(update=changes), file)


def head_problems(head: Head) -> list[str]:
    """Return what is wrong with a head office and its cells, one sentence each, without using the network."""
    plan = head.plan
    names = Counter(cell.name for cell in head.cells)
    people = Counter(person.name for person in plan.people)
    found = [f"two cells are called '{name}': give each its own name" for name, count in names.items() if count > 1]
    found += [f"[[people]] '{name}' is listed twice" for name, count in people.items() if count > 1]
    found += [f"[[people]] '{name}' is the name of a cell: choose another one" for name in sorted(people & names)]
    found += [
        f"[[people]] '{person.name}': Home Assistant belongs to a cell: add it to the cell's plan"
        for person in plan.people
        if person.role == "home-assistant"
    ]
    found += [
        f"cell '{cell.name}': an account is called 'bridge' like that of its bridge: choose another name"
        for cell in head.cells
        if any(person.name == "bridge" for person in cell.plan.people)
    ]
    if plan.name in names:
        found.append(f"a cell is called '{plan.name}' like the head office: choose another name")
    if plan.bundles:
        found += [
            f"cell '{cell.name}': bundles = true, but its plan has no bundle_key: whoever takes over the head office's "
            "broker could run anything on its boards"
            for cell in head.cells
            if cell.plan.bundle_key is None
        ]
    return found + _of_cells(
        head, lambda cell: [*problems(cell.plan, cell.base), *exposed_sources(cell.plan, cell.file)]
    )


def head_hints(head: Head) -> list[str]:
    """Return what works in the cells' plans but has no effect yet, one sentence each; see `hints`."""
    return _of_cells(head, lambda cell: hints(cell.plan))


def _of_cells(head: Head, find: Callable[[Cell], list[str]]) -> list[str]:
    found = []
    # What is found in a shared file is said once.
    told: set[tuple[Path, str]] = set()
    for cell in head.cells:
        for line in find(cell):
            if (cell.file, line) not in told:
                told.add((cell.file, line))
                found.append(f"cell '{cell.name}': {line}")
    return found
