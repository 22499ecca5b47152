"""`vp site doctor` at a cluster: one broker that answers is enough, and the others are told of."""

from __future__ import annotations

import pytest

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.site.broker_checks import of_any
from vp_mqtt.site.finding import CheckError

CLUSTER = BrokerOptions(url="mqtt://one,two")


def check(up: set[str], broker: BrokerOptions) -> str:
    if broker.host not in up:
        raise CheckError(f"{broker.host} is down", "start it")
    return f"{broker.host} answers"


def test_one_broker_that_answers_is_enough() -> None:
    assert of_any(CLUSTER, lambda one: check({"one", "two"}, one)) == "one answers; two answers"
    assert of_any(CLUSTER, lambda one: check({"two"}, one)) == "two answers; but one is down"


def test_without_any_broker_the_check_fails() -> None:
    with pytest.raises(CheckError, match=r"^one is down$"):
        of_any(CLUSTER, lambda one: check(set(), one))
