from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from vp_mqtt.site.accounts import Right, accounts
from vp_mqtt.site.plan import SitePlan, parse_plan
from vp_mqtt.site.problems import problems
from vp_mqtt.site.render import settings

PLAN = """
name = "home"
replicas = [2]
[broker]
host = "broker"
[fusion]
board = "pi-0"
shards = ["pi-1"]
home_assistant = true
[[cameras]]
name = "cam0"
board = "pi-cam"
[[boards]]
name = "pi-0"
variants = [2]
[[boards]]
name = "pi-1"
variants = [2, 1]
[[boards]]
name = "pi-cam"
"""


def plan(**changes: str) -> SitePlan:
    text = PLAN
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return parse_plan(text, "site.toml")


def shown(site: SitePlan, name: str, role: str) -> dict[str, Any]:
    account = next(one for one in accounts(site) if one.name == name)
    found: dict[str, Any] = tomllib.loads(settings(site, account, "caltech101"))[role]
    return found


def test_every_fusion_node_and_every_replica_has_an_account_that_may_speak_for_itself_only() -> None:
    names = [account.name for account in accounts(plan()) if account.is_node]
    assert names == ["camera-cam0", "variant-2", "variant-2-pi-1", "variant-1", "fusion", "fusion-pi-1"]
    for account in accounts(plan()):
        statuses = {
            right.topics for right in account.rights if right.topics.endswith("/status") and "+" not in right.topics
        }
        if account.is_node:
            assert statuses - {"homeassistant/status"} == {f"vp/home/node/{account.name}/status"}
        if account.role == "variant":
            assert Right("write", f"vp/home/camera/cam0/vote/{account.variant}") in account.rights


def test_several_fusion_nodes_share_and_one_of_them_describes_the_site_to_home_assistant() -> None:
    first, second = (shown(plan(), name, "fusion") for name in ("fusion", "fusion-pi-1"))
    assert first["shard"] is second["shard"] is True
    assert first["shard_members"] == second["shard_members"] == ["fusion", "fusion-pi-1"]
    assert first["home_assistant"] is True
    assert "home_assistant" not in second
    alone = shown(plan(**{'shards = ["pi-1"]': ""}), "fusion", "fusion")
    assert not {"shard", "shard_members"} & alone.keys()


def test_the_boards_of_a_replicated_variant_share_its_frames_and_the_others_do_not() -> None:
    assert shown(plan(), "variant-2", "variant")["replica"] is True
    assert shown(plan(), "variant-2-pi-1", "variant")["replica"] is True
    assert "replica" not in shown(plan(), "variant-1", "variant")


def test_a_second_board_is_a_problem_unless_the_variant_is_replicated(tmp_path: Path) -> None:
    def found(site: SitePlan) -> list[str]:
        return [one for one in problems(site, tmp_path) if not one.startswith("package")]

    assert found(plan()) == []
    assert "replicas = [2]" in found(plan(**{"replicas = [2]": ""}))[0]
    assert "no such board" in found(plan(**{'shards = ["pi-1"]': 'shards = ["pi-9"]'}))[0]
    assert "named twice" in found(plan(**{'shards = ["pi-1"]': 'shards = ["pi-0"]'}))[0]
