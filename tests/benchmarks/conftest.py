from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def processes_without_coverage() -> Iterator[None]:
    """Have processes that are started here not measure what of vp_mqtt they run.

    The product has tests of its own, benchmarks are not measured, and it takes much of their time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
