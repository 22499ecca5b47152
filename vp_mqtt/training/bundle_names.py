"""Names of bundles, which travel in messages and topics, from names that people gave to folders."""

from __future__ import annotations

import re
import unicodedata

from vp_mqtt.errors import UserError

_VALID = re.compile(r"[a-z0-9][a-z0-9-]*")
_UNFIT = re.compile(r"[^a-z0-9]+")
_FALLBACK = "bundle"


def bundle_name(given: str | None, dataset: str) -> str:
    """Return a bundle's name: the one that was given, or one made of the data set's, such as `my-things`.

    Args:
        given: with --name.
        dataset: name of the data set; of a folder, whatever people call folders.

    Raises:
        UserError: the given name is not one.
    """
    if given is not None:
        if not _VALID.fullmatch(given):
            raise UserError(f"--name {given}: write small letters a to z, digits and '-', such as my-things")
        return given
    plain = unicodedata.normalize("NFKD", dataset).encode("ascii", "ignore").decode().lower()
    return _UNFIT.sub("-", plain).strip("-") or _FALLBACK
