from __future__ import annotations

import pytest

from vp_mqtt.conformance.features import FEATURES, MQTT_5, Feature, Need, Outcome, Report, Verdict
from vp_mqtt.conformance.tries import TRIES

YES, NO, UNTRIED = (Verdict(outcome) for outcome in Outcome)


def report(**others: Verdict) -> Report:
    return Report("mqtt://broker:1883", {one.key: YES for one in FEATURES} | others, "vp-check/0")


def test_every_feature_is_tried_and_has_something_to_say_where_it_is_missing() -> None:
    assert {one.key for one in FEATURES} == {MQTT_5.key, *TRIES}
    assert all(one.without for one in FEATURES)


def test_a_broker_with_everything_is_enough() -> None:
    assert report().is_enough
    assert report().conclusion() == "mqtt://broker:1883: vp-mqtt works, with everything that it uses"
    assert not any(instead for *_, instead in report().rows())


@pytest.mark.parametrize("feature", FEATURES, ids=lambda one: one.key)
def test_only_what_is_needed_makes_a_broker_unfit(feature: Feature) -> None:
    found = report(**{feature.key: NO})
    assert found.is_enough is (feature.need is not Need.NEEDED)
    assert (feature.name in found.conclusion()) is (feature.need is not Need.UNUSED)
    (row,) = [row for row in found.rows() if row[0] == feature.name]
    assert row[2:] == ("no", feature.without)


def test_what_was_not_tried_is_not_called_missing() -> None:
    found = report(retained=UNTRIED)
    assert not found.is_enough
    assert "not all was tried" in found.conclusion()
    assert found.as_dict()["features"]["retained"]["outcome"] == "not tried"


def test_a_broker_without_mqtt_5_is_told_in_one_line() -> None:
    found = Report("mqtt://broker:1883", {MQTT_5.key: NO})
    assert not found.is_enough
    assert "does not speak MQTT 5" in found.conclusion()
