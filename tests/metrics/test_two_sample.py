import dcor
import numpy as np
import pytest
import torch
from scipy import integrate, sparse, stats

from scgauge.metrics import energy_distance, two_sample_test

#: R package cramer 0.9-4, eigenvalue method: statistic, 95 % critical value, p-value.
R_CRAMER = {
    "cramer": (2.92579661497522, 2.09481916198351, 0.00690489583104892),
    "bahr": (3.27726616815068, 1.45792244067706, 3.57314755367044e-05),
    "log": (5.22166547770388, 3.26468553009164, 0.00255442508312465),
    "frac_a": (3.06405958011753, 1.29293072424127, 5.92047344960545e-06),
    "frac_b": (3.77672586160433, 1.44196551355725, 1.26652113463521e-07),
}


def fixture_points():
    """Points given by a formula, so that other programs can be run on the same numbers."""
    i, j = np.arange(1, 41)[:, None], np.arange(1, 6)[None, :]
    x = np.sin(0.7 * i * j + j**2) + 0.8 * (j % 2) * (i > 20)
    k = np.arange(1, 31)[:, None]
    return x, np.cos(0.9 * k * j - j) + 0.05 * j


@pytest.mark.parametrize("kernel", list(R_CRAMER))
def test_statistics_of_the_r_package_cramer(kernel):
    x, y = fixture_points()
    expected, critical, pvalue = R_CRAMER[kernel]
    result = two_sample_test(x, y, statistic=kernel, n_permutations=1999, rng=0)
    np.testing.assert_allclose(result.statistic, expected, rtol=1e-11)
    # The law of the R package is that of large samples; permutations of 70 points come within a tenth of it.
    np.testing.assert_allclose(np.quantile(result.null, 0.95), critical, rtol=0.1)
    assert result.pvalue <= max(2.5 * pvalue, 1 / 2000)


def test_energy_is_that_of_dcor_and_of_the_r_package_energy():
    x, y = fixture_points()
    result = two_sample_test(x, y, n_permutations=0)
    np.testing.assert_allclose(result.statistic, 5.85159322995051, rtol=1e-12)
    np.testing.assert_allclose(result.statistic, dcor.homogeneity.energy_test_statistic(x, y), rtol=1e-12)
    assert np.isnan(result.pvalue)
    assert result.null.shape == (0,)
    assert two_sample_test(x, y, statistic="cramer", n_permutations=0).statistic == pytest.approx(result.statistic / 2)


def test_every_permuted_statistic_is_that_of_the_permuted_points():
    x, y = fixture_points()
    result = two_sample_test(x, y, n_permutations=5, rng=3)
    # The same labels, applied to the points by hand.
    rng = np.random.default_rng(3).spawn(2)[0]
    pooled = np.concatenate([x, y])
    for value in result.null:
        first = np.sort(rng.permutation(70)[:40])
        second = np.setdiff1d(np.arange(70), first)
        expected = 40 * 30 / 70 * dcor.energy_distance(pooled[first], pooled[second])
        np.testing.assert_allclose(value, expected, rtol=1e-10)


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_one_dimension_is_an_integral(method):
    x, y = (points[:, :1] for points in fixture_points())
    ends = np.unique(np.concatenate([x, y]))
    middle = (ends[:-1] + ends[1:]) / 2
    gap = stats.ecdf(x[:, 0]).cdf.evaluate(middle) - stats.ecdf(y[:, 0]).cdf.evaluate(middle)
    expected = 40 * 30 / 70 * (gap**2 @ np.diff(ends))
    value = two_sample_test(x, y, statistic="cramer", method=method, n_permutations=0, rng=0).statistic
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["energy", "log"])
@pytest.mark.parametrize("block_rows", [1, 7, 40, 1000])
def test_blocks_change_nothing(kernel, block_rows):
    x, y = fixture_points()
    whole = two_sample_test(x, y, statistic=kernel, n_permutations=29, rng=0)
    blocked = two_sample_test(x, y, statistic=kernel, n_permutations=29, rng=0, block_rows=block_rows)
    np.testing.assert_allclose(blocked.statistic, whole.statistic, rtol=1e-11)
    np.testing.assert_allclose(blocked.null, whole.null, rtol=1e-10)
    assert blocked.pvalue == whole.pvalue


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, torch.as_tensor, np.float32])
@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_kinds_of_input(kind, method):
    rng = np.random.default_rng(0)
    x, y = rng.poisson(0.8, (50, 9)), rng.poisson(1.2, (30, 9))
    expected = two_sample_test(x, y, method=method, n_permutations=9, rng=0)
    result = two_sample_test(kind(x), kind(y), method=method, n_permutations=9, rng=0)
    np.testing.assert_allclose(result.null, expected.null, rtol=1e-10)


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_pvalues_are_uniform_without_a_difference(method):
    rng = np.random.default_rng(0)
    pvalues = []
    for seed in range(200):
        pooled = rng.normal(size=(45, 3))
        pvalues.append(
            two_sample_test(pooled[:20], pooled[20:], method=method, n_permutations=99, n_directions=8, rng=seed).pvalue
        )
    # 100 possible values: half a step is added to compare with the continuous law.
    assert stats.kstest(np.array(pvalues) - 0.005, "uniform").pvalue > 0.01


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_power_for_a_change_of_scale_alone(method):
    rng = np.random.default_rng(1)
    rejected = 0
    for seed in range(20):
        x, y = rng.normal(size=(80, 5)), 1.5 * rng.normal(size=(80, 5))
        rejected += two_sample_test(x, y, method=method, n_permutations=99, n_directions=20, rng=seed).pvalue <= 0.05
    assert rejected >= 19


def test_tied_points_count_as_ties():
    x = np.tile([[0.0], [1.0]], (10, 1))
    result = two_sample_test(x, x[:10], n_permutations=199, rng=0)
    # Equal shares of both values: no permutation can have a smaller statistic.
    assert result.pvalue == 1
    assert result.statistic == pytest.approx(0, abs=1e-12)


def test_sliced_is_unbiased_for_the_exact_statistic_and_states_its_error():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 4)), rng.normal(size=(50, 4)) * [2, 1, 1, 1] + [0.5, 0, 0, 0]
    exact = two_sample_test(x, y, n_permutations=0).statistic
    draws = [two_sample_test(x, y, method="sliced", n_permutations=0, rng=seed) for seed in range(60)]
    values = np.array([draw.statistic for draw in draws])
    assert abs(values.mean() - exact) < 4 * values.std(ddof=1) / np.sqrt(60)
    assert 0.8 < values.std(ddof=1) / np.mean([draw.error for draw in draws]) < 1.25


def test_constant_of_the_lines_in_the_plane():
    # The mean of |cos| over the circle is 2 / pi.
    assert 1 / integrate.quad(lambda angle: abs(np.cos(angle)) / (2 * np.pi), 0, 2 * np.pi, points=[1.5, 4.5])[
        0
    ] == pytest.approx(np.pi / 2, rel=1e-6)
    x, y = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    sliced = two_sample_test(x, y, method="sliced", n_permutations=0, n_directions=20_000, rng=0)
    assert abs(sliced.statistic - 5) < 4 * sliced.error  # nm/(n+m) (2 |x-y|) = 5


def test_auto_slices_large_samples_and_says_so(monkeypatch):
    monkeypatch.setattr("scgauge.metrics._two_sample.SLICED_ABOVE", 35)
    x, y = fixture_points()
    result = two_sample_test(x, y, n_permutations=9, rng=0)
    assert result.method == "sliced"
    assert result.error > 0
    assert two_sample_test(y, y + 1, n_permutations=9, rng=0).method == "exact"
    assert two_sample_test(x, y, statistic="log", n_permutations=9, rng=0).method == "exact"


def test_energy_distance_is_the_statistic_without_its_factor():
    x, y = fixture_points()
    statistic = two_sample_test(x, y, n_permutations=0).statistic
    np.testing.assert_allclose(statistic, 40 * 30 / 70 * energy_distance(x, y, estimator="v"), rtol=1e-12)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_numbers():
    x, y = fixture_points()
    for kernel in R_CRAMER:
        cpu, gpu = (
            two_sample_test(x, y, statistic=kernel, n_permutations=49, rng=0, device=device)
            for device in ("cpu", "cuda")
        )
        np.testing.assert_allclose(gpu.null, cpu.null, rtol=1e-10)
        assert gpu.pvalue == cpu.pvalue


def test_another_device_of_torch_takes_the_same_path():
    # "cpu:0" is not "cpu": the code for devices, on any machine.
    x, y = fixture_points()
    for kernel in R_CRAMER:
        cpu, other = (
            two_sample_test(x, y, statistic=kernel, n_permutations=9, rng=0, device=device)
            for device in ("cpu", "cpu:0")
        )
        np.testing.assert_allclose(other.null, cpu.null, rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"statistic": "euclid"}, r"statistic='euclid' is unknown; use one of \['energy'"),
        ({"method": "fast"}, r"method='fast' is unknown; use one of \['auto'"),
        ({"method": "sliced", "statistic": "log"}, "method='sliced' needs statistic='energy' or 'cramer'"),
        ({"n_permutations": -1}, "n_permutations=-1 was given; at least 0"),
        ({"n_directions": 1}, "n_directions=1 was given; at least 2"),
        ({"y": np.ones((4, 2))}, "`x` has 5 columns and `y` has 2"),
    ],
)
def test_bad_input(arguments, match):
    x, y = fixture_points()
    with pytest.raises(ValueError, match=match):
        two_sample_test(x, arguments.pop("y", y), **arguments)
