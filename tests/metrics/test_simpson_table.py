import numpy as np
import pytest

from scgauge.metrics import simpson_table

# Successes and patients of two treatments of kidney stones, small and large.
KIDNEY_STONES = {
    ("A", "small"): (81, 87),
    ("A", "large"): (192, 263),
    ("B", "small"): (234, 270),
    ("B", "large"): (55, 80),
}


def patients():
    outcome, treatment, size = [], [], []
    for (drug, stone), (cured, n) in KIDNEY_STONES.items():
        outcome += [1] * cured + [0] * (n - cured)
        treatment += [drug] * n
        size += [stone] * n
    return outcome, treatment, size


def test_kidney_stones():
    outcome, treatment, size = patients()
    table = simpson_table(outcome, treatment, stratum=size).set_index("stratum")
    assert (table["first"] + table["second"]).unique().tolist() == ["AB"]
    assert table.loc["", ["mean_first", "mean_second"]].astype(float).round(3).tolist() == [0.780, 0.826]
    for stone in ("small", "large"):
        for column, drug in (("first", "A"), ("second", "B")):
            cured, n = KIDNEY_STONES[drug, stone]
            np.testing.assert_allclose(table.loc[stone, f"mean_{column}"], cured / n)
            assert table.loc[stone, f"n_{column}"] == n
    assert (table["difference"] > 0).tolist() == [False, True, True]
    assert table["agrees"].tolist() == [True, False, False]


def test_a_stratum_with_one_treatment_says_nothing():
    table = simpson_table([1, 0, 1], ["A", "B", "A"], stratum=[0, 0, 1])
    assert np.isnan(table["difference"].iloc[2])
    assert table["agrees"].tolist() == [True, True, True]


def test_bad_input():
    with pytest.raises(ValueError, match="3 values"):
        simpson_table([0, 1, 1], ["A", "B", "C"], stratum=[0, 0, 0])
    with pytest.raises(ValueError, match="one label for each"):
        simpson_table([0, 1], ["A", "B"], stratum=[0])
    with pytest.raises(ValueError, match="finite"):
        simpson_table([0, np.nan], ["A", "B"], stratum=[0, 0])
