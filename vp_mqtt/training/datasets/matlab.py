"""MATLAB files, the format of SVHN, Stanford Dogs and Oxford Flowers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vp_mqtt.errors import UserError


def read_mat(file: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the variables with these names, in MATLAB's shapes.

    Raises:
        UserError: scipy is not installed, the file cannot be read, or lacks one of the variables.
    """
    try:
        from scipy.io import loadmat  # noqa: PLC0415 (only for these data sets, and in the extra `train`)
    except ImportError:
        raise UserError(f"{file}: reading it needs scipy: `pip install scipy`") from None
    try:
        content = loadmat(file, variable_names=list(names))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or 'cannot be read'}") from None
    except Exception:  # noqa: BLE001 (a damaged file can raise anything)
        raise UserError(f"{file}: not a MATLAB file that can be read; download the file again") from None
    missing = [name for name in names if name not in content]
    if missing:
        raise UserError(f"{file}: has no '{missing[0]}'; download the file again")
    return [np.asarray(content[name]) for name in names]


def to_integers(values: NDArray[Any], file: Path) -> NDArray[np.int64]:
    """Return the numbers of a variable, shape (N,).

    Raises:
        UserError: they are not whole numbers.
    """
    if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and (values == np.rint(values)).all()):
        raise UserError(f"{file}: holds something other than whole numbers; download the file again")
    return values.astype(np.int64).reshape(-1)
