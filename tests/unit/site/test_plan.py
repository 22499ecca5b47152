from __future__ import annotations

import pytest

from vp_mqtt.errors import UserError
from vp_mqtt.site.plan import SitePlan, parse_plan

PLAN = """
name = "home"
[broker]
host = "127.0.0.1"
state = "{state}"
[fusion]
board = "pi-0"
[[cameras]]
name = "cam0"
board = "pi-0"
[[boards]]
name = "pi-0"
variants = [0]
"""


def plan(state: str) -> SitePlan:
    return parse_plan(PLAN.format(state=state), "site.toml")


@pytest.mark.parametrize(
    "state",
    ["/", "//", "/./.", "/etc/mosquitto", "/usr/local/x", "/var/lib", "/var/lib/", "/home/pi/", "/srv", "/data/../etc"],
)
def test_a_folder_of_the_system_is_not_given_to_the_broker(state: str) -> None:
    with pytest.raises(UserError, match=r"^site\.toml: broker\.state: .*belongs to the system: name a folder"):
        plan(state)


@pytest.mark.parametrize("state", ["/var/lib/mosquitto/", "/srv/mosquitto", "/home/pi/mosquitto", "/data/x/y/"])
def test_the_broker_may_keep_its_data_in_a_folder_of_its_own(state: str) -> None:
    assert plan(state).broker.state == state
