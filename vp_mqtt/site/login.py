"""How to log in at a site's broker with an account of its plan."""

from __future__ import annotations

from pathlib import Path

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.site.accounts import Account, accounts, folder_of
from vp_mqtt.site.plan import BrokerPlan, SitePlan
from vp_mqtt.site.render import SHARED_CA, broker_address


def person_settings(plan: SitePlan, root: Path, name: str) -> WatchSettings:
    """Return the settings of a person's account, from the provisioned folder.

    Raises:
        UserError: there is no such person, or their folder has not been provisioned.
    """
    account = next((one for one in accounts(plan) if one.name == name and one.board is None), None)
    if account is None:
        raise UserError(f"--account {name}: there is no such account among [[people]]")
    return login_settings(plan.name, plan.broker, account, root / folder_of(account))


def login_settings(site: str, broker: BrokerPlan, account: Account, folder: Path) -> WatchSettings:
    """Return the settings of an account, from its provisioned folder.

    Raises:
        UserError: it has not been provisioned.
    """
    if not (folder / f"{account.file}.key").is_file():
        raise UserError(f"{folder}: not there; write it with `vp site provision`")
    return WatchSettings(
        broker=f"mqtts://{broker_address(broker)}",
        site=site,
        username=account.name,
        password_file=folder / f"{account.file}.password",
        ca_file=folder / SHARED_CA,
        cert_file=folder / f"{account.file}.crt",
        key_file=folder / f"{account.file}.key",
        give_up_after=10.0,
    )
