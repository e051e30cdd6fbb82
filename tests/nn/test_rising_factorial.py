import mpmath
import numpy as np
import pytest
import torch

from scgauge.nn._fused_rows import rising_factorials
from scgauge.nn._rising_factorial import log_rising_factorial, scaled_digamma_difference

pytestmark = pytest.mark.quick

COUNTS = [1, 2, 3, 8, 9, 40, 1000, 10**6]
LOG_THETAS = [-60.0, -5.0, 0.0, 1.0, 2.7, 2.8, 5.0, 20.0]


def _grid(dtype):
    x, log_theta = np.meshgrid(COUNTS, LOG_THETAS)
    return torch.tensor(x.ravel(), dtype=dtype), torch.tensor(log_theta.ravel(), dtype=dtype)


def _exact(x, log_theta):
    """Both functions with 60 digits."""
    with mpmath.workdps(60):
        logs, slopes = [], []
        for count, logarithm in zip(x.tolist(), log_theta.tolist(), strict=True):
            theta = mpmath.exp(mpmath.mpf(logarithm))
            logs.append(float(mpmath.loggamma(count + theta) - mpmath.loggamma(theta)))
            slopes.append(float(theta * (mpmath.digamma(count + theta) - mpmath.digamma(theta))))
    return np.array(logs), np.array(slopes)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 5e-6)])
def test_equal_sixty_digits(dtype, tolerance):
    x, log_theta = _grid(dtype)
    logs, slopes = _exact(x, log_theta)
    theta = log_theta.exp()
    np.testing.assert_allclose(log_rising_factorial(x, theta, log_theta).numpy(), logs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(scaled_digamma_difference(x, theta).numpy(), slopes, rtol=tolerance)


def test_compiled_loop_has_the_same_numbers_less_log_factorials():
    tolerance = 5e-6
    genes = np.array(LOG_THETAS, dtype=np.float32)
    x = np.tile(np.array(COUNTS, dtype=np.float32), len(genes))
    which = np.repeat(np.arange(len(genes), dtype=np.int32), len(COUNTS))
    found, found_slopes = np.empty_like(x), np.empty_like(x)
    rising_factorials(which, x, genes, np.exp(genes), found, found_slopes)
    logs, slopes = _exact(x, genes[which])
    with mpmath.workdps(60):
        log_factorials = np.array([float(mpmath.loggamma(count + 1)) for count in x.tolist()])
    # Both terms of the difference are rounded.
    size = np.maximum(np.abs(logs), log_factorials).clip(min=1)
    np.testing.assert_array_less(np.abs(found - (logs - log_factorials)) / size, tolerance)
    np.testing.assert_allclose(found_slopes, slopes, rtol=tolerance)
