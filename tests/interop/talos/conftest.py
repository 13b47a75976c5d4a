from __future__ import annotations

import pytest

from tests.interop.talos.judge import Judge, build_judge


@pytest.fixture(scope="session")
def judge() -> Judge:
    return build_judge()
