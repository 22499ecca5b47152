"""docs/asyncapi.yaml and docs/node-red.json held against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import asyncapi
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import Kind

ROOT = Path(__file__).parents[3]
VALUES = {"site": "home", "camera": "cam0", "node": "pi", "variant": "2", "digest": "ab" * 32, "chunk": "0"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
    return loaded


def test_the_file_is_up_to_date(document: dict[str, Any]) -> None:
    # Through JSON, since tuples become lists on the way.
    assert document == json.loads(json.dumps(asyncapi.document())), "run scripts/write-asyncapi"


def test_every_topic_is_one_of_the_scheme_and_every_kind_has_one(document: dict[str, Any]) -> None:
    kinds = set()
    for channel in document["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", channel["address"]))
        kinds.add(topics.parse(channel["address"].format(**VALUES)).kind)
    assert kinds == set(Kind)


def test_every_example_is_a_message_that_the_code_reads(document: dict[str, Any]) -> None:
    read = 0
    for name, message in document["components"]["messages"].items():
        for example in message.get("examples", []):
            payload = json.dumps(example["payload"]).encode()
            assert type(asyncapi.EXAMPLES[name]).decode(payload) == asyncapi.EXAMPLES[name]
            read += 1
    assert read == 9


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return found + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    refs = references(document)
    assert len(refs) > 20
    for ref in refs:
        place: Any = document
        for step in ref.removeprefix("#/").split("/"):
            place = place[step]


def test_the_examples_of_wire_md_are_messages_that_the_code_reads() -> None:
    text = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    models = {type(example) for example in asyncapi.EXAMPLES.values()}
    assert len(blocks) == len(models)
    for block in blocks:
        readers = [model for model in models if _reads(model, block)]
        assert len(readers) == 1
        models -= set(readers)


def _reads(model: type[Any], block: dict[str, Any]) -> bool:
    try:
        model.decode(json.dumps(block).encode())
    except ValueError:
        return False
    return set(block) <= set(model.model_fields)


def test_the_node_red_flow_listens_to_valid_topics() -> None:
    flow = json.loads((ROOT / "docs" / "node-red.json").read_text(encoding="utf-8"))
    ids = {node["id"] for node in flow}
    assert len(ids) == len(flow)
    listening = [node["topic"] for node in flow if node["type"] == "mqtt in"]
    assert {topics.parse(topic.replace("+", "x")).kind for topic in listening} == {Kind.STATE, Kind.STATUS}
    for node in flow:
        assert all(target in ids for wire in node.get("wires", []) for target in wire)
        assert node["type"] != "mqtt in" or node["broker"] in ids
