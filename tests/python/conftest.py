"""What every test shares: the random profiles of hypothesis and a seeded start."""

import contextlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

_SLOW_ENOUGH = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=_SLOW_ENOUGH
)
settings.register_profile(
    "large", max_examples=5000, deadline=None, suppress_health_check=_SLOW_ENOUGH
)
# The same examples on every run, so that a red CI run can be repeated at a desk.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "default")
)


@pytest.fixture(autouse=True)
def _seeded():
    """Each test starts from the same random state, whichever tests ran before it."""
    try:
        import tegula as tg
    except ImportError:
        return
    with contextlib.suppress(Exception):
        tg.synchronize()  # raises what went wrong in tests before
    tg.set_memory_limit(2 << 30)  # a random call that is valid but huge raises
    tg.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
