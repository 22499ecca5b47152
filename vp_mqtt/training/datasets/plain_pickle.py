"""Reads pickles of plain containers and numpy arrays, and refuses anything else without running it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vp_mqtt.errors import UserError

# The function that unpickles numpy's arrays; its module's name depends on the version of numpy.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (as in the base class)
        """Return the object that the pickle names, if it is one of a few harmless ones.

        Raises:
            UnpicklingError: it is not.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"names {module}.{name}") from None


def read_plain_pickle(file: Path) -> Any:  # noqa: ANN401 (the caller checks the type)
    """Return the content of a pickle, Python 2's strings as bytes.

    Raises:
        UserError: the file cannot be read, is no pickle, or holds more than plain containers and numpy arrays.
    """
    try:
        return _PlainUnpickler(io.BytesIO(file.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 (a damaged pickle can raise anything)
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise UserError(f"{file}: not a pickle of plain values ({reason}); download the file again") from None
