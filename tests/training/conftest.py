from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.helpers import training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    training(folder, folder / "run").run()
    return folder
