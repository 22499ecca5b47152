"""How to log in at a site's broker with an account of its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from vp_mqtt.config.settings import WatchSettings
from vp_mqtt.errors import UserError
from vp_mqtt.files import first_error
from vp_mqtt.site.accounts import Account, accounts, folder_of
from vp_mqtt.site.plan import BrokerPlan, SitePlan
from vp_mqtt.site.render import SHARED_CA, broker_address


class _PlannedSettings(WatchSettings):
    """Settings that a plan and its provisioned folder give alone: the environment's are for other commands."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use nothing but what is given."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


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
        UserError: it has not been provisioned, or its files cannot be read.
    """
    files = {
        "password_file": folder / f"{account.file}.password",
        "ca_file": folder / SHARED_CA,
        "cert_file": folder / f"{account.file}.crt",
        "key_file": folder / f"{account.file}.key",
    }
    missing = next((path for path in files.values() if not path.is_file()), None)
    if missing is not None:
        raise UserError(f"{missing if folder.is_dir() else folder}: not there; write it with `vp site provision`")
    address = f"mqtts://{broker_address(broker)}"
    values: dict[str, Any] = {"broker": address, "site": site, "username": account.name, "give_up_after": 10.0, **files}
    try:
        return _PlannedSettings(**values)
    except ValidationError as error:
        raise UserError(f"{folder}: {first_error(error)}") from None
