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


# ---- What the tests over the table say at the end -----------------------------------------------
TRANSFORM_CHECKS = {
    "test_jvp_is_the_slope": "jvp is the slope",
    "test_vjp_is_the_transpose_of_jvp": "vjp is the transpose of jvp",
    "test_vjp_of_each_argument_alone": "vjp of each argument alone",
    "test_vmap_is_a_loop": "vmap is a loop",
    "test_vmap_of_grad_and_grad_of_vmap": "vmap of grad and grad of vmap",
    "test_jit_changes_no_bit": "jit changes no bit",
    "test_jit_of_derivatives_changes_no_bit": "jit of derivatives changes no bit",
    "test_second_derivatives_agree": "second derivatives agree",
}


def pytest_terminal_summary(terminalreporter):
    """How many entries of the operation table passed each check of the transforms."""
    # Reports come here from the workers of pytest-xdist as from this process.
    passed, all_run = dict.fromkeys(TRANSFORM_CHECKS, 0), dict.fromkeys(TRANSFORM_CHECKS, 0)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            file, _, test = report.nodeid.partition("::")
            check = test.partition("[")[0]
            if file.endswith("test_transform_table.py") and check in TRANSFORM_CHECKS:
                all_run[check] += 1
                passed[check] += outcome == "passed"
    for check, text in TRANSFORM_CHECKS.items():
        if all_run[check]:
            terminalreporter.write_line(
                f"transforms: {text}: {passed[check]} of {all_run[check]} entries"
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
