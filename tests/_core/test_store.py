import numpy as np
import pandas as pd
import pytest
from cells import make_cells

from scgauge._core.store import plain, store

pytestmark = pytest.mark.quick


def test_everything_is_written_where_it_belongs():
    adata = make_cells()
    result = store(
        adata,
        copy=False,
        obs={"score": np.arange(120.0)},
        obsm={"X_new": np.zeros((120, 2))},
        varm={"load": np.zeros((20, 3))},
        uns={"new": {"params": {"a": (1, 2)}, "table": pd.DataFrame({"x": [1]})}},
    )
    assert result is None
    assert adata.obs["score"].iloc[3] == 3
    assert adata.obsm["X_new"].shape == (120, 2)
    assert adata.uns["new"]["params"]["a"] == [1, 2]


def test_copy_leaves_the_input_alone():
    adata = make_cells()
    result = store(adata, copy=True, obs={"score": np.zeros(120)})
    assert "score" in result.obs
    assert "score" not in adata.obs


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (
            {"obs": {"good": np.zeros(120)}, "obsm": {"bad": np.zeros((119, 2))}},
            r"obsm\['bad'\] needs the shape \(120,\)",
        ),
        ({"obs": {"good": np.zeros(120)}, "varp": {"bad": np.zeros((20, 3))}}, r"needs the shape \(20, 20\)"),
        ({"obs": {"good": np.zeros(120)}, "obsm": {"a/b": np.zeros((120, 2))}}, "has a '/'"),
        ({"obs": {"good": np.zeros(120)}, "uns": {"x": {"a/b": 1}}}, "strings without '/'"),
        ({"obs": {"good": np.zeros(120)}, "uns": {"x": {1: 1}}}, "strings without '/'"),
        ({"obs": {"good": np.zeros(120)}, "uns": {"x": pd.DataFrame({3: [1]})}}, "column names that are not strings"),
    ],
)
def test_nothing_is_written_if_one_value_does_not_fit(slots, message):
    adata = make_cells()
    with pytest.raises(ValueError, match=message):
        store(adata, copy=False, **slots)
    assert "good" not in adata.obs
    assert dict(adata.uns) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(2.5), 2.5),
        ({"b", "a"}, ["a", "b"]),
        ((1, (2, 3)), [1, [2, 3]]),
        (np.random.default_rng(0), "Generator"),
        ({3: {"x": None}}, {"3": {"x": None}}),
    ],
)
def test_plain(value, expected):
    assert plain(value) == expected
