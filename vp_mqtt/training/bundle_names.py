"""Names of bundles, which appear in messages and topics, from the names of data sets and folders."""

from __future__ import annotations

import re
import unicodedata

from vp_mqtt.errors import UserError

_VALID = re.compile(r"[a-z0-9][a-z0-9-]*")
_INVALID = re.compile(r"[^a-z0-9]+")
_FALLBACK = "bundle"


def choose_bundle_name(given: str | None, dataset: str) -> str:
    """Return a bundle's name: the given one, or one derived from the data set's, such as `my-things`.

    Args:
        given: value of --name.
        dataset: name of the data set, which may be any folder name.

    Raises:
        UserError: the given name is not valid.
    """
    if given is not None:
        if not _VALID.fullmatch(given):
            raise UserError(f"--name {given}: use lower-case letters a to z, digits and '-', such as my-things")
        return given
    plain = unicodedata.normalize("NFKD", dataset).encode("ascii", "ignore").decode().lower()
    return _INVALID.sub("-", plain).strip("-") or _FALLBACK
