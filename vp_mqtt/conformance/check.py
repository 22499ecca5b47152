"""Tries a broker: all trials side by side, and afterwards nothing is left of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.conformance.features import MQTT_5, Outcome, Report, Verdict
from vp_mqtt.conformance.ground import Ground
from vp_mqtt.conformance.tries import TRIES
from vp_mqtt.errors import UserError
from vp_mqtt.logs import LOGGER
from vp_mqtt.mqtt.failure import is_without_mqtt_5
from vp_mqtt.mqtt.session import connected
from vp_mqtt.mqtt.tls import client_context
from vp_mqtt.mqtt.trial_client import NotAllowedError, TrialError

_AT_A_TIME = 8
# What is found without a right to publish or to subscribe.
_WITHOUT_RIGHTS = ("takeover",)


def check_broker(options: BrokerOptions, site: str) -> Report:
    """Return which features a broker has.

    Args:
        options: how to reach it; of several brokers, the first is tried.
        site: name of the site, for accounts that may publish below its topics only.

    Raises:
        UserError: it cannot be reached, or refuses us.
    """
    options = options.each()[0]
    try:
        with connected(options, client_id="vp-check"):
            pass
    except UserError as error:
        if is_without_mqtt_5(error):
            return Report(options.address, {MQTT_5.key: Verdict(Outcome.NO)})
        raise
    ground = Ground(options, client_context(options) if options.uses_tls else None, site)
    try:
        verdicts = _try_all(ground)
    finally:
        if not ground.clean():
            LOGGER.warning("retained messages below %s could not be cleared; they expire in a minute", ground.prefix)
    return Report(options.address, {MQTT_5.key: Verdict(Outcome.YES)} | verdicts, ground.prefix or None)


def _try_all(ground: Ground) -> dict[str, Verdict]:
    has_topics = ground.find_prefix()
    untried = Verdict(Outcome.UNTRIED)
    verdicts = {} if has_topics else {key: untried for key in TRIES if key not in _WITHOUT_RIGHTS}
    pool = ThreadPoolExecutor(_AT_A_TIME)
    try:
        running = {key: pool.submit(_try_one, one, ground) for key, one in TRIES.items() if key not in verdicts}
        return verdicts | {key: future.result() for key, future in running.items()}
    except BaseException:
        ground.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _try_one(one: Callable[[Ground], Verdict], ground: Ground) -> Verdict:
    try:
        return one(ground)
    except NotAllowedError as error:
        return Verdict(Outcome.UNTRIED, f"this account may not {error} here")
    except TrialError as error:
        return Verdict(Outcome.NO, str(error))
