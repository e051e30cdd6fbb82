import numpy as np
import pytest
import torch
from scipy import sparse, stats
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.multitest import multipletests

from scgauge.datasets import simulate_binary_blocks
from scgauge.metrics import compare_log_odds, log_odds_ratio


def binary(n=300, p=7, seed=0, share=0.4):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, 1))
    return (rng.normal(size=(n, p)) + factor < stats.norm.ppf(share) * np.sqrt(2)).astype(float)


def table(x, i, j):
    return np.array([[np.sum((x[:, i] == a) & (x[:, j] == b)) for b in (1, 0)] for a in (1, 0)])


def test_equals_scipy_and_statsmodels():
    x = binary()
    result = log_odds_ratio(x, correction="none")
    for i in range(7):
        for j in range(7):
            if i != j:
                counts = table(x, i, j)
                odds = stats.contingency.odds_ratio(counts, kind="sample").statistic
                np.testing.assert_allclose(result.log_odds[i, j], np.log(odds), rtol=1e-12)
                other = Table2x2(counts)
                np.testing.assert_allclose(result.log_odds[i, j], other.log_oddsratio, rtol=1e-12)
                np.testing.assert_allclose(result.se[i, j], other.log_oddsratio_se, rtol=1e-12)
    assert np.isnan(np.diag(result.log_odds)).all()
    assert np.isnan(np.diag(result.se)).all()
    assert result.n == 300


def test_numbers_of_the_fixture():
    x = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [10, 2, 12, 16], axis=0)
    none, haldane = (log_odds_ratio(x, correction=name) for name in ("none", "haldane"))
    np.testing.assert_allclose(none.log_odds[0, 1], 1.8971199848858813, rtol=1e-13)
    np.testing.assert_allclose(none.se[0, 1], 0.8636164272021076, rtol=1e-13)
    np.testing.assert_allclose(haldane.log_odds[0, 1], 1.712716261887602, rtol=1e-13)


def test_corrections_of_empty_cells_of_the_table():
    x = np.repeat([[1, 1], [1, 0], [0, 0]], [5, 3, 4], axis=0)  # never 0 and 1
    assert log_odds_ratio(x, correction="none").log_odds[0, 1] == np.inf
    assert log_odds_ratio(x, correction="max").log_odds[0, 1] == pytest.approx(np.log(5 * 4 / (3 * 0.5)))
    assert log_odds_ratio(x).log_odds[0, 1] == pytest.approx(np.log(5.5 * 4.5 / (3.5 * 0.5)))
    assert log_odds_ratio(x).se[0, 1] == pytest.approx(np.sqrt(1 / 5.5 + 1 / 4.5 + 1 / 3.5 + 2))


@pytest.mark.parametrize("share", [0.02, 0.4])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix, torch.as_tensor, np.bool_])
def test_sparse_and_dense_agree(kind, share, monkeypatch):
    x = binary(share=share, p=20)
    expected = log_odds_ratio(x)
    monkeypatch.setattr("scgauge._core.matrix.BLOCK_BYTES", 37 * 20 * 8)  # blocks of 37 rows
    np.testing.assert_array_equal(log_odds_ratio(kind(x)).log_odds, expected.log_odds)


def test_the_truth_of_the_simulation_is_recovered():
    adata = simulate_binary_blocks(200_000, 12, rng=0)
    log_odds = log_odds_ratio(adata.X)
    block = adata.var["block"].to_numpy()
    upper = np.triu(np.ones((12, 12), dtype=bool), 1)
    truth = {"same": 1.698318604, "different": 0.5351239669, "noise": 1.0}
    pairs = {
        "same": (block[:, None] == block) & (block[:, None] != "noise"),
        "different": (block[:, None] != block) & (block[:, None] != "noise") & (block != "noise"),
        "noise": (block[:, None] == "noise") | (block == "noise"),
    }
    for name, odds_ratio in truth.items():
        chosen = pairs[name] & upper
        values, errors = log_odds.log_odds[chosen], log_odds.se[chosen]
        assert np.abs((values - np.log(odds_ratio)) / errors).max() < 4.5
        # Pairs share genes: the mean is less certain than of independent pairs.
        assert abs(values.mean() - np.log(odds_ratio)) < 3 * errors.mean() / np.sqrt(len(values) / 4)


def test_standard_errors_are_the_spread_of_repeated_draws():
    draws = [log_odds_ratio(binary(400, 2, seed)) for seed in range(300)]
    values = np.array([draw.log_odds[0, 1] for draw in draws])
    assert 0.9 < values.std(ddof=1) / np.mean([draw.se[0, 1] for draw in draws]) < 1.1


def test_comparison_by_hand():
    x, y = binary(seed=0), binary(200, seed=1)
    result = compare_log_odds(x, y)
    a, b = log_odds_ratio(x), log_odds_ratio(y)
    row = result.pairs.iloc[3]
    i, j = int(row["first"]), int(row["second"])
    assert row["difference"] == pytest.approx(b.log_odds[i, j] - a.log_odds[i, j])
    z = row["difference"] / np.sqrt(a.se[i, j] ** 2 + b.se[i, j] ** 2)
    assert row["pvalue"] == pytest.approx(2 * stats.norm.cdf(-abs(z)))
    upper = np.triu_indices(7, 1)
    left, right = a.log_odds[upper], b.log_odds[upper]
    line = stats.linregress(left, right)
    assert (result.slope, result.pearson) == pytest.approx((line.slope, line.rvalue))
    assert (result.bias, result.rmse) == pytest.approx(((right - left).mean(), np.sqrt(((right - left) ** 2).mean())))
    for column, method in (("q_bh", "fdr_bh"), ("q_by", "fdr_by")):
        np.testing.assert_allclose(result.pairs[column], multipletests(result.pairs["pvalue"], method=method)[1])
    assert result.pairs["difference"].abs().is_monotonic_decreasing


def test_no_more_false_findings_than_promised():
    found = [(compare_log_odds(binary(seed=s), binary(seed=1000 + s)).pairs["q_bh"] < 0.05).any() for s in range(100)]
    assert np.mean(found) < 0.11  # 0.05 and three standard errors of 100 repeats


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: log_odds_ratio(np.array([[0.0, 2.0], [1.0, 0.0]])), "must hold only 0 and 1; found 2.0"),
        (lambda: log_odds_ratio(binary(), correction="half"), r"correction='half' is unknown; use one of \['haldane'"),
        (lambda: compare_log_odds(binary(), binary(), correction="none"), "correction='none' was given; comparisons"),
        (lambda: compare_log_odds(binary(), binary(p=6)), "`x` has 7 columns and `y` has 6"),
        (lambda: compare_log_odds(binary(p=1), binary(p=1)), "at least two"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
