"""The provisioned folder of a broker: its configuration, certificate, accounts and access rules."""

from __future__ import annotations

from collections.abc import Sequence

from vp_mqtt.site import render
from vp_mqtt.site.accounts import Account, access_rules
from vp_mqtt.site.atomic_folder import PROGRAM, Content
from vp_mqtt.site.pki import Authority
from vp_mqtt.site.plan import BrokerPlan
from vp_mqtt.site.rotation import rotated_as
from vp_mqtt.site.secret_keeping import SecretKeeping

BROKER = "broker"


def add_broker(
    keeping: SecretKeeping,
    name: str,
    broker: BrokerPlan,
    authority: tuple[Authority, bytes],
    *,
    accounts: Sequence[Account],
    passwords: dict[str, str],
    retained: int,
) -> None:
    """Add a broker's folder.

    Args:
        keeping: what it is added to.
        name: of the site, or of the head office.
        broker: its broker.
        authority: which issues the certificate of the broker, and has issued those of its clients; and its certificate.
        accounts: of the broker.
        passwords: of the accounts, by name.
        retained: how many messages the broker retains, bundles aside.
    """
    names = list(dict.fromkeys((*broker.hosts, *broker.names)))
    keeping.server_pair(f"{BROKER}/server", authority[0], names, rotated_as(BROKER, BROKER))
    keeping.password_file(f"{BROKER}/passwords", passwords)
    configuration = render.mosquitto(name, broker, accounts=len(accounts), retained=retained)
    keeping.files |= {
        f"{BROKER}/access": Content(access_rules(accounts).encode()),
        f"{BROKER}/{render.SHARED_CA}": Content(authority[1]),
        f"{BROKER}/mosquitto.conf": Content(configuration.encode()),
        f"{BROKER}/limits.nft": Content(render.template("limits.nft", port=str(broker.port)).encode()),
        f"{BROKER}/vp.conf": Content(render.template("vp.conf").encode()),
        f"{BROKER}/install.sh": Content(render.broker_install(name, broker).encode(), PROGRAM),
    }
