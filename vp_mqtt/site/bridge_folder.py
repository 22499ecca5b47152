"""The provisioned folder of a cell's bridge: a Mosquitto that passes on what its head office is to know."""

from __future__ import annotations

from vp_mqtt.protocol.topics import ANY, ROOT, Topics
from vp_mqtt.site import render
from vp_mqtt.site.accounts import Account, Right, retained_messages
from vp_mqtt.site.atomic_folder import PROGRAM, SECRET, Content
from vp_mqtt.site.pki import Authority
from vp_mqtt.site.plan import BrokerPlan, SitePlan
from vp_mqtt.site.rotation import rotated_as
from vp_mqtt.site.secret_keeping import SecretKeeping
from vp_mqtt.site.uplink import Uplink

BRIDGE = "bridge"
"""The folder, and the bridge's account at the cell's broker."""


def bridge_account(plan: SitePlan, uplink: Uplink) -> Account:
    """Return the account of the bridge at the cell's broker."""
    site = Topics(plan.name)
    up = [site.state(ANY), site.status(ANY), site.presence(ANY), site.stats(ANY)]
    rights = [Right("read", topic) for topic in (*up, *((site.label(ANY),) if uplink.labels else ()))]
    if uplink.bundles:
        rights.append(Right("write", _bundles(plan.name)))
    return Account(BRIDGE, "bridge", None, tuple(rights))


def _bundles(cell: str) -> str:
    return f"{ROOT}/{cell}/bundle/#"


def add_bridge(keeping: SecretKeeping, plan: SitePlan, uplink: Uplink, authority: Authority, ca: bytes) -> str:
    """Add the folder of a cell's bridge.

    Args:
        keeping: what it is added to.
        plan: of the cell.
        uplink: the head office.
        authority: of the cell.
        ca: certificate of the authority.

    Returns:
        The password of the bridge's account at the cell's broker.
    """
    stem = f"{BRIDGE}/cell"
    password = keeping.password(BRIDGE, stem, rotated_as(BRIDGE, BRIDGE))
    keeping.client_pair(BRIDGE, stem, authority, rotated_as(BRIDGE, BRIDGE))
    keeping.files |= {
        f"{BRIDGE}/{render.SHARED_CA}": Content(ca),
        f"{BRIDGE}/head-ca.crt": Content(uplink.ca),
        f"{BRIDGE}/head.crt": Content(uplink.certificate),
        f"{BRIDGE}/head.key": Content(uplink.key, SECRET),
        f"{BRIDGE}/bridge.conf": Content(_configuration(plan, uplink, password).encode(), SECRET),
        f"{BRIDGE}/vp-bridge.service": Content(render.template("vp-bridge.service", cell=plan.name).encode()),
        f"{BRIDGE}/install.sh": Content(
            render.template("install-bridge.sh", cell=plan.name, address=render.broker_address(uplink.broker)).encode(),
            PROGRAM,
        ),
    }
    return password


def _addresses(broker: BrokerPlan) -> str:
    # As Mosquitto's bridges want them: IPv6 addresses without brackets, and spaces between several.
    return " ".join(f"{host}:{broker.port}" for host in broker.hosts)


def _configuration(plan: SitePlan, uplink: Uplink, password: str) -> str:
    head = {
        "head_addresses": _addresses(uplink.broker),
        "head_password": uplink.password,
        "cell": plan.name,
    }
    from_cell = [f"topic {Topics(plan.name).label(ANY)} in 0"] if uplink.labels else []
    # Boards refuse bundles without the signature of bundle_key, whoever sends them.
    from_cell += [f"topic {_bundles(plan.name)} out 1"] if uplink.bundles else []
    text = render.template(
        "bridge.conf",
        head=uplink.head,
        cell_addresses=_addresses(plan.broker),
        cell_password=password,
        cell_topics="\n".join(from_cell),
        head_topics=f"topic {_bundles(plan.name)} in 1" if uplink.bundles else "",
        **head,
        **render.queue_limits(retained_messages(plan)),
    )
    return text + (render.template("bridge-labels.conf", **head) if uplink.labels else "")
