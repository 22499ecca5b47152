"""Values that the plans of a site and of a head office refuse, and what they say of them."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from vp_mqtt.cli.site import app
from vp_mqtt.errors import UserError
from vp_mqtt.site import new_plan
from vp_mqtt.site.head_plan import CellPlan, is_head, read_head
from vp_mqtt.site.plan import BrokerPlan, Table, parse_plan
from vp_mqtt.site.problems import hints, problems

SITE = """
name = "home"
{top}
[broker]
host = "broker"
[fusion]
board = "pi-0"
[[cameras]]
name = "cam0"
board = "pi-0"
{camera}
[[boards]]
name = "pi-0"
variants = {first}
[[boards]]
name = "pi-1"
variants = {second}
"""


def site(top: str = "", camera: str = "", first: str = "[5]", second: str = "[4]") -> str:
    return SITE.format(top=top, camera=camera, first=first, second=second)


NO_HOSTS = [
    *(
        "a:1883",
        "cafe:1883",
        "a:b:c",
        "192.168.1.10:8883",
        "broker:8883",
        "::g",
        "[::1]",
        "fe80::1%eth0",
        ":",
        "1::2::3",
    ),
    *("", "a b", "a..b", ".a", "a.", "-a", "a-.b", "x" * 64, "300.1.1.1", "1.2.3", "1883", "a/b", "mqtt://a", "a,b"),
]
HOSTS = ["broker", "pi-0.local", "xn--bcher-kva.example", "a1", "1a.b", "127.0.0.1", "::1", "fd00::3", "::ffff:1.2.3.4"]


def host_places(host: str) -> Iterator[tuple[type[Table], dict[str, object], str]]:
    yield BrokerPlan, {"host": host}, "host[0]"
    yield BrokerPlan, {"host": ["broker", host]}, "host[1]"
    yield BrokerPlan, {"host": "broker", "names": [host]}, "names[0]"
    yield BrokerPlan, {"host": "broker", "bind": host}, "bind"
    yield CellPlan, {"plan": "site.toml", "broker": host}, "broker[0]"
    yield CellPlan, {"plan": "site.toml", "broker": [host]}, "broker[0]"


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused_wherever_a_plan_takes_one(host: str) -> None:
    for table, document, place in host_places(host):
        with pytest.raises(ValidationError) as caught:
            table.model_validate(document)
        (error,) = (one for one in caught.value.errors() if one["type"] == "value_error")
        assert "".join(f"[{part}]" if isinstance(part, int) else part for part in error["loc"]) == place
        assert error["msg"].endswith(f"{host!r} is neither a host name nor an IP address")


@pytest.mark.parametrize("host", HOSTS)
def test_host_names_and_addresses_are_taken(host: str) -> None:
    for table, document, _ in host_places(host):
        table.model_validate(document)


@pytest.mark.parametrize("broker", ["a:1883", "broker,cafe:1883"])
def test_a_new_plan_has_no_broker_with_a_port(broker: str, tmp_path: Path) -> None:
    answers = {"name": "home", "broker": broker, "camera": "pi-0", "source": "0", "fusion": "pi-0"}
    with pytest.raises(UserError, match=r"^site\.toml: broker\.host.*:1883' is neither a host name nor an IP address$"):
        new_plan.write(tmp_path / "site.toml", answers | {"bundle": "fashion-mnist"}, ["pi-0"])
    assert not (tmp_path / "site.toml").exists()


WRONG: dict[type, tuple[object, ...]] = {
    bool: ("yes", "true", 1, 0, 1.0),
    int: ("5", True, 5.0),
    float: ("5", True),
    str: (1, True, 1.0, dt.date(2026, 1, 1)),
}
"""Values of TOML that are not of a type, though pydantic would convert some of them."""


def scalars(annotation: Any) -> set[type]:
    """Return the plain types that an annotation allows, in lists too."""
    if typing.get_origin(annotation) is Literal:
        return {type(value) for value in typing.get_args(annotation)}
    if typing.get_origin(annotation) in {typing.Annotated, typing.Union, types.UnionType, tuple}:
        return set().union(*(scalars(part) for part in typing.get_args(annotation)))
    return {annotation} & WRONG.keys()


def test_no_value_of_a_plan_is_converted_to_the_type_of_its_key() -> None:
    tried = 0
    for table in Table.__subclasses__():
        for name, annotation in typing.get_type_hints(table, include_extras=True).items():
            field = table.model_fields.get(name)
            if field is None:
                continue
            key = field.alias or name
            for scalar in scalars(annotation):
                for wrong in WRONG[scalar]:
                    for value in (wrong, [wrong]):
                        with pytest.raises(ValidationError) as caught:
                            table.model_validate({key: value})
                        assert any(error["loc"][0] == key for error in caught.value.errors()), (table, key, value)
                        tried += 1
    assert tried > 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (site(camera="encode = 1"), "cameras[0].encode: must be 'auto', 'never' or 'always'"),
        (site(camera="frame_side = 1"), "cameras[0].frame_side: must be at least 16"),
        (site(camera="rotate = false"), "cameras[0].rotate: write a whole number"),
        (site(top='replicas = ["5"]'), "replicas[0]: must be a whole number"),
        (site(first="[true]"), "boards[0].variants[0]: must be a whole number"),
    ],
)
def test_a_list_with_a_wrong_item_is_not_called_empty(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_plan(text, "site.toml")
    assert str(caught.value) == f"site.toml: {said}"


NOT_IN_BUNDLE = "replicas: variant 99 is not in the bundle 'fashion-mnist', which has 0 to 5"
NO_BOARD = "replicas: no board runs variant 1: give it to two boards, or take it out of replicas"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"top": 'bundle = "fashion-mnist"\nreplicas = [99]'}, [NOT_IN_BUNDLE]),
        ({"top": 'bundle = "fashion-mnist"\nreplicas = [1, 99]'}, [NO_BOARD, NOT_IN_BUNDLE]),
        ({"top": "replicas = [1]"}, [NO_BOARD]),
        ({"top": "replicas = [4, 4]"}, ["replicas: variant 4 is listed more than once: name it once"]),
        ({"first": "[5, 5]"}, ["board 'pi-0': variant 5 is listed more than once: name it once"]),
        ({"top": "replicas = [5]", "second": "[5]"}, []),
        ({}, []),
    ],
)
def test_replicas_and_variants_that_mean_nothing_are_problems(
    plan: dict[str, str], said: list[str], tmp_path: Path
) -> None:
    found = problems(parse_plan(site(**plan), "site.toml"), tmp_path)
    assert [one for one in found if not one.startswith("package")] == said


def test_replicas_are_checked_as_far_as_possible_without_the_bundle(tmp_path: Path) -> None:
    found = problems(parse_plan(site(top='bundle = "none"\nreplicas = [1, 1]'), "site.toml"), tmp_path)
    assert found[0] == "replicas: variant 1 is listed more than once: name it once"
    assert found[1] == NO_BOARD


def test_a_variant_that_has_no_second_board_yet_is_a_hint(tmp_path: Path) -> None:
    assert hints(parse_plan(site(top="replicas = [5]", second="[5]"), "site.toml")) == []
    text = site(top="replicas = [5]")
    (hint,) = hints(parse_plan(text, "site.toml"))
    assert hint.startswith("hint: replicas: only board 'pi-0' runs variant 5")
    (tmp_path / "site.toml").write_text(text)
    (tmp_path / "cells.toml").write_text('[broker]\nhost = "head"\n[[cells]]\nplan = "site.toml"\n')
    for file, shown in (("site.toml", hint), ("cells.toml", f"cell 'home': {hint}")):
        output = CliRunner().invoke(app, ["check", str(tmp_path / file), "--offline"]).stdout
        assert output.splitlines()[-1] == shown


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cells.toml", '[broker]\nhost = "head"', "name at least one [[cells]]; docs/cells.md shows one"),
        (
            "other.toml",
            'labels = true\n[broker]\nhost = "head"',
            "name at least one [[cells]]; docs/cells.md shows one",
        ),
        ("cells.toml", 'cells = []\n[broker]\nhost = "head"', "name at least one [[cells]]; docs/cells.md shows one"),
        ("cells.toml", '[broker]\nhost = "head"\n[[cells]]\nplan = 5', "cells[0].plan: must be text"),
        (
            "cells.toml",
            'people = []\n[broker]\nhost = "head"\n[[cells]]\nplan = "site.toml"',
            "people: must have at least 1 item, not 0",
        ),
    ],
)
def test_the_plan_of_a_head_office_is_told_from_a_sites(name: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert is_head(file)
    with pytest.raises(UserError) as caught:
        read_head(file)
    assert str(caught.value) == f"{file}: {said}"


@pytest.mark.parametrize("name", ["site.toml", "cells.toml"])
def test_the_plan_of_a_site_is_not_taken_for_a_head_offices(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(site())
    assert not is_head(file)
    with pytest.raises(UserError, match="it is not the plan of a head office"):
        read_head(file)
    file.write_text('name = "home"\n[broker]\nhost = "broker"\n')
    assert is_head(file) is (name == "cells.toml")
