from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import scgauge
from scgauge._core.short_repr import short_repr


@dataclass(frozen=True)
class Result:
    value: float
    few: np.ndarray
    many: np.ndarray
    table: pd.DataFrame
    hidden: int = field(default=3, repr=False)

    __repr__ = short_repr


def test_numbers_are_written_and_arrays_counted():
    result = Result(0.5, np.array([1, 2]), np.zeros(500), pd.DataFrame({"a": [1, 2, 3]}))
    assert repr(result) == "Result(value=0.5, few=array([1, 2]), many=<ndarray 500>, table=<DataFrame 3 x 1>)"


def test_results_of_metrics_fit_into_a_line():
    x = np.random.default_rng(0).poisson(2, (80, 50))
    assert repr(scgauge.metrics.gene_marginals(x)).startswith("GeneMarginals(mean=<ndarray 50>, ")
    result = scgauge.metrics.two_sample_test(x[:40], x[40:], rng=0)
    assert len(repr(result)) < 200
    assert f"pvalue={result.pvalue}" in repr(result)
