"""The key numbers of a page, against plain numpy."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgauge.report._fit import longest_run
from scgauge.report._numbers import elbo_row, gap_rows, library_row, number, size_row, zeros_row


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1234567, 0, "1,234,567"), (-677.44, 1, "\u2212677.4"), (0.0194, 3, "0.019"), (12, 0, "12")],
)
def test_numbers_are_written_for_people(value, digits, text):
    assert number(value, digits) == text


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_zeros(form):
    real = np.array([[0, 1], [0, 0], [2, 3], [0, 1]])  # 4 of 8
    synthetic = np.ones((3, 2))
    assert zeros_row(form(real), form(synthetic)).value == "real 50.0 %; synthetic 0.0 %"


def test_explicit_zeros_are_zeros():
    stored = sparse.csr_matrix((np.array([0.0, 1.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    assert zeros_row(stored, stored).value == "real 50.0 %; synthetic 50.0 %"


def test_library_sizes():
    real = np.arange(101)[:, None] * np.array([[1, 9]])  # sums 0, 10, ..., 1000
    row = library_row(real, 2 * real, 0)
    assert row.value == "real 500 (50 to 950); synthetic 1,000 (100 to 1,900)"
    assert "left out" not in row.reading
    assert "3 synthetic cells without a single count were left out" in library_row(real, real, 3).reading


def test_elbo():
    row = elbo_row(-677.44, -633.9, 70)
    assert row.value == "\u2212677.4 nats per held-out cell (\u2212633.9 per training cell)"
    assert "70 cells" in row.reading


def test_batches_are_named_where_there_are_some():
    assert size_row(700, 765, 1, 70).value == "700 cells, 765 genes"
    assert size_row(700, 765, 2, 70).value == "700 cells in 2 batches, 765 genes"


def test_the_gap_is_told_with_the_least_that_is_possible():
    gap = {"kl": 8.94, "kl_se": 0.1, "kl_gaussian": 0.242, "mean_kl": 15.5, "energy_distance": 0.0191, "n_cells": 700}
    rows = gap_rows(pd.Series(gap))
    assert [row.value for row in rows] == ["0.24 nats", "0.019", "8.94 \u00b1 0.10 nats"]
    assert "below 15.50 (that of the mean cell) \u2212 log 700, here 8.95 nats" in rows[2].reading


def test_many_cells_have_no_least_gap():
    gap = {"kl": 0.3, "kl_se": 0.1, "kl_gaussian": 0.2, "mean_kl": 5.0, "energy_distance": 0.01, "n_cells": 100_000}
    assert "cannot" not in gap_rows(pd.Series(gap))[2].reading


@pytest.mark.parametrize(
    ("n_cells", "epochs"), [(20, 300), (26_667, 300), (40_000, 200), (1_000_000, 8), (100_000_000, 1)]
)
def test_runs_are_shorter_for_many_cells(n_cells, epochs):
    assert longest_run(n_cells) == epochs
