import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from scgauge.metrics import prior_gap

pytestmark = pytest.mark.quick


def test_single_gaussian_is_the_closed_form():
    mean, variance = np.array([[0.7, -1.2, 0.1]]), np.array([[0.5, 2.0, 0.9]])
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum()
    gap = prior_gap(mean, variance, n_samples=20000, rng=0)
    assert gap.mean_kl == pytest.approx(expected, rel=1e-12)
    assert gap.kl_gaussian == pytest.approx(expected, rel=1e-12)
    assert abs(gap.kl - expected) < 5 * gap.kl_se
    assert abs(gap.mutual_information) < 5 * gap.kl_se


def test_mixture_equals_quadrature_in_one_dimension():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(0, 2, (6, 1)), rng.uniform(0.05, 1, (6, 1))
    grid = np.linspace(-12, 12, 200001)
    log_q = logsumexp(stats.norm.logpdf(grid, mean, np.sqrt(variance)), axis=0) - np.log(6)
    expected = np.trapezoid(np.exp(log_q) * (log_q - stats.norm.logpdf(grid)), grid)
    estimates = [prior_gap(mean, variance, n_samples=4000, rng=seed) for seed in range(20)]
    values = np.array([gap.kl for gap in estimates])
    assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / np.sqrt(20)
    # The stated error is that of plain draws; those spread evenly over cells vary less.
    assert values.std(ddof=1) < 1.6 * np.mean([gap.kl_se for gap in estimates])


@pytest.mark.parametrize("most", [400, 150])
def test_energy_distance_of_one_gaussian_is_the_closed_form(most, monkeypatch):
    monkeypatch.setattr("scgauge.metrics._prior_gap._MOST_IN_DISTANCE", most)
    mean, sd = 1.2, 0.6
    # Differences of normal variables are normal, and their absolute value is folded normal.
    apart, own, prior = (
        stats.foldnorm.mean(m / s, scale=s) for m, s in ((mean, np.hypot(sd, 1)), (0, sd * 2**0.5), (0, 2**0.5))
    )
    values = [prior_gap([[mean]], [[sd**2]], n_samples=400, rng=seed).energy_distance for seed in range(40)]
    error = np.std(values, ddof=1) / np.sqrt(40)
    assert abs(np.mean(values) - (2 * apart - own - prior)) < 4 * error
    assert error < 0.03


def test_separate_cells_carry_the_log_of_their_number():
    mean = 100.0 * np.arange(8)[:, None]
    gap = prior_gap(mean, np.full((8, 1), 0.01), n_samples=800, rng=0)
    assert gap.mutual_information == pytest.approx(np.log(8), abs=5 * gap.kl_se + 1e-6)


def test_moments_alone_decide_the_gaussian_part():
    rng = np.random.default_rng(1)
    mean, variance = rng.normal(0, 1.5, (50, 3)), rng.uniform(0.1, 1, (50, 3))
    centre = mean.mean(0)
    covariance = np.cov(mean.T, bias=True) + np.diag(variance.mean(0))
    expected = 0.5 * (np.trace(covariance) + centre @ centre - 3 - np.log(np.linalg.det(covariance)))
    assert prior_gap(mean, variance, n_samples=10, rng=0).kl_gaussian == pytest.approx(expected, rel=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(2)
    mean, variance = rng.normal(size=(30, 2)), rng.uniform(0.1, 1, (30, 2))
    expected = prior_gap(mean, variance, n_samples=100, rng=5)
    monkeypatch.setattr("scgauge.metrics._prior_gap._PAIRS_AT_ONCE", 70)
    assert prior_gap(mean, variance, n_samples=100, rng=5).kl == pytest.approx(expected.kl, rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "variance", "n_samples", "message"),
    [
        (np.zeros((3, 2)), np.ones((3, 1)), 10, r"found shapes \(3, 2\) and \(3, 1\)"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 10, "with positive variances"),
        (np.zeros(3), np.ones(3), 10, r"must be \(n_cells, n_latent\)"),
        (np.zeros((3, 2)), np.ones((3, 2)), 1, "n_samples=1 was given"),
    ],
)
def test_bad_input(mean, variance, n_samples, message):
    with pytest.raises(ValueError, match=message):
        prior_gap(mean, variance, n_samples=n_samples)
