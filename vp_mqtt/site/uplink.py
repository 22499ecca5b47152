"""How a cell's broker is bridged to that of its head office."""

from __future__ import annotations

from dataclasses import dataclass, field

from vp_mqtt.site.plan import BrokerPlan


@dataclass(frozen=True, slots=True)
class Uplink:
    """The head office, as a cell's broker logs in there: under the cell's name.

    Attributes:
        head: the head office's name.
        broker: its broker.
        labels: whether labels travel up.
        bundles: whether its bundles travel down.
        ca: certificate of its authority, PEM.
        certificate: of the cell's bridge, PEM.
        key: of the certificate, PEM.
        password: of the account.
    """

    head: str
    broker: BrokerPlan
    labels: bool
    bundles: bool
    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    password: str = field(repr=False)
