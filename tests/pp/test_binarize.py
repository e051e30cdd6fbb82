import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scgauge

KINDS = [
    pytest.param(np.asarray, id="dense"),
    pytest.param(sparse.csr_matrix, id="csr_matrix"),
    pytest.param(sparse.csc_matrix, id="csc_matrix"),
    pytest.param(sparse.csr_array, id="csr_array"),
    pytest.param(sparse.csc_array, id="csc_array"),
]


def draw_counts(n=60, p=12, seed=0):
    counts = np.random.default_rng(seed).negative_binomial(1, 0.3, (n, p)).astype(np.float32)
    counts[:, 3] = 0  # a gene without a count
    return counts


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def snapshot(adata):
    return adata.obs.columns.tolist(), adata.var.columns.tolist(), sorted(adata.uns), dense(adata.X).copy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threshold", [0, 1.5, 3])
def test_one_threshold(kind, threshold):
    counts = draw_counts()
    adata = ad.AnnData(kind(counts))
    assert scgauge.pp.binarize(adata, threshold=threshold) is None
    binary = adata.layers["binary"]
    assert np.array_equal(dense(binary), counts > threshold)
    assert binary.dtype == np.float32
    assert isinstance(binary, np.ndarray if kind is np.asarray else sparse.csr_matrix)
    assert (adata.var["binary_threshold"] == threshold).all()
    assert np.array_equal(dense(adata.X), counts)


def test_a_sparse_result_stores_ones_only():
    adata = ad.AnnData(sparse.csr_matrix(draw_counts()))
    scgauge.pp.binarize(adata, threshold=2)
    assert (adata.layers["binary"].data == 1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantile", [0, 0.5, 0.73, 0.9])
def test_quantiles_equal_numpy(kind, quantile):
    counts = draw_counts()
    adata = ad.AnnData(kind(counts))
    scgauge.pp.binarize(adata, threshold="quantile", quantile=quantile)
    expected = np.quantile(counts.astype(np.float64), quantile, axis=0)
    # Linear interpolation between two counts, in float64.
    np.testing.assert_allclose(adata.var["binary_threshold"], expected, rtol=1e-12)
    assert np.array_equal(dense(adata.layers["binary"]), counts > adata.var["binary_threshold"].to_numpy())


@settings(deadline=None)  # the first call imports
@given(
    values=st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.5]), min_size=1, max_size=30),
    quantile=st.floats(0, 1, exclude_max=True),
)
def test_quantile_of_any_column(values, quantile):
    adata = ad.AnnData(sparse.csr_matrix(np.array(values)[:, None]))
    scgauge.pp.binarize(adata, threshold="quantile", quantile=quantile)
    np.testing.assert_allclose(adata.var["binary_threshold"], [np.quantile(values, quantile)], rtol=1e-9, atol=1e-12)


def test_thresholds_are_learnt_on_training_cells_only():
    counts = draw_counts()
    train = np.arange(60) < 40
    counts[~train] += 100
    adata = ad.AnnData(sparse.csr_matrix(counts))
    scgauge.pp.binarize(adata, threshold="quantile", train_cells=train)
    np.testing.assert_allclose(adata.var["binary_threshold"], np.quantile(counts[train], 0.5, axis=0))
    assert dense(adata.layers["binary"])[~train].all()
    assert adata.uns["binary"]["params"]["n_train_cells"] == 40


def test_thresholds_of_the_training_data_serve_other_data():
    adata = ad.AnnData(draw_counts())
    train, test = adata[:40].copy(), adata[40:, ::-1].copy()
    scgauge.pp.binarize(train, threshold="quantile")
    scgauge.pp.binarize(test, threshold=train.var["binary_threshold"])
    thresholds = train.var["binary_threshold"].to_numpy()[::-1]
    assert np.array_equal(test.var["binary_threshold"], thresholds)
    assert np.array_equal(test.layers["binary"], thresholds < test.X)
    scgauge.pp.binarize(test, threshold=thresholds, key_added="array")
    assert np.array_equal(test.layers["array"], test.layers["binary"])
    assert test.uns["array"]["params"]["threshold"] == "given"


def test_layer_and_expression_levels():
    adata = ad.AnnData(np.zeros((3, 2), dtype="f4"))
    adata.layers["tpm"] = np.array([[0.0, 0.5], [2.5, 0.1], [0.0, 9.9]])
    scgauge.pp.binarize(adata, layer="tpm", threshold=0.3, key_added="on")
    assert adata.layers["on"].tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix], ids=["dense", "csr", "csc"])
@pytest.mark.parametrize("threshold", [1, "quantile"])
def test_backed_file(kind, threshold, tmp_path, monkeypatch):
    counts = draw_counts()
    ad.AnnData(kind(counts)).write_h5ad(tmp_path / "counts.h5ad")
    backed = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    monkeypatch.setattr("scgauge._core.matrix.BLOCK_BYTES", 8 * 12 * 7)
    scgauge.pp.binarize(backed, threshold=threshold)
    expected = ad.AnnData(counts)
    scgauge.pp.binarize(expected, threshold=threshold)
    assert np.array_equal(dense(backed.layers["binary"]), expected.layers["binary"])
    backed.file.close()


def test_entries_stored_twice_are_added_and_the_input_is_kept():
    twice = sparse.csr_matrix((np.array([1.0, 1.0, 1.0]), np.array([0, 0, 1]), np.array([0, 3, 3])), shape=(2, 2))
    adata = ad.AnnData(twice)
    scgauge.pp.binarize(adata, threshold=1)
    assert dense(adata.layers["binary"]).tolist() == [[1, 0], [0, 0]]
    assert adata.X.nnz == 3


@pytest.mark.parametrize("file", ["h5ad", "zarr"])
def test_result_survives_a_file(file, tmp_path):
    adata = ad.AnnData(sparse.csr_matrix(draw_counts()))
    scgauge.pp.binarize(adata, threshold="quantile")
    path = tmp_path / f"cells.{file}"
    (adata.write_h5ad if file == "h5ad" else adata.write_zarr)(path)
    read = ad.read_h5ad(path) if file == "h5ad" else ad.read_zarr(path)
    assert np.array_equal(dense(read.layers["binary"]), dense(adata.layers["binary"]))
    assert read.uns["binary"]["params"] == adata.uns["binary"]["params"]
    pd.testing.assert_series_equal(read.var["binary_threshold"], adata.var["binary_threshold"])


def test_copy_leaves_the_input_alone():
    adata = ad.AnnData(draw_counts())
    before = snapshot(adata)
    result = scgauge.pp.binarize(adata, copy=True)
    assert "binary" in result.layers
    assert "binary" not in adata.layers
    assert all(np.array_equal(left, right) for left, right in zip(before, snapshot(adata), strict=True))


def changed(row, column, value):
    counts = draw_counts()
    counts[row, column] = value
    return ad.AnnData(counts)


@pytest.mark.parametrize(
    ("adata", "arguments", "error", "match"),
    [
        pytest.param(np.ones((2, 2)), {}, TypeError, "`adata` is ndarray; an AnnData is needed", id="array"),
        pytest.param(
            changed(2, 1, -1), {}, ValueError, "from 0 upward; found -1.0 in cell '2', gene '1'", id="negative"
        ),
        pytest.param(changed(2, 1, np.nan), {}, ValueError, "found nan in cell '2', gene '1'", id="nan"),
        pytest.param(changed(0, 0, 1), {"layer": "no"}, KeyError, "Did not find the layer 'no'", id="no-layer"),
        pytest.param(changed(0, 0, 1), {"threshold": -1}, ValueError, "negative, NaN or infinite", id="threshold<0"),
        pytest.param(changed(0, 0, 1), {"threshold": np.nan}, ValueError, "negative, NaN or inf", id="threshold-nan"),
        pytest.param(changed(0, 0, 1), {"threshold": "median"}, TypeError, "'median' is not a number", id="word"),
        pytest.param(
            changed(0, 0, 1),
            {"threshold": np.ones(3)},
            ValueError,
            r"shape \(3,\); one number or one for each of 12",
            id="length",
        ),
        pytest.param(
            changed(0, 0, 1),
            {"threshold": pd.Series([1.0], ["0"])},
            KeyError,
            "no value for 11 of 12 genes",
            id="genes",
        ),
        pytest.param(
            changed(0, 0, 1),
            {"threshold": pd.Series(1.0, [*map(str, range(12)), "4"])},
            ValueError,
            "gene '4' more than once",
            id="gene-twice",
        ),
        pytest.param(
            changed(0, 0, 1), {"threshold": "quantile", "quantile": 1}, ValueError, "quantile=1 must be", id="quantile"
        ),
        pytest.param(
            changed(0, 0, 1),
            {"threshold": "quantile", "train_cells": np.arange(5)},
            TypeError,
            r"dtype int64 and the shape \(5,\); a boolean mask of all 60",
            id="indices",
        ),
        pytest.param(
            changed(0, 0, 1),
            {"threshold": "quantile", "train_cells": np.zeros(60, dtype=bool)},
            ValueError,
            "marks no cell",
            id="no-train-cell",
        ),
        pytest.param(changed(0, 0, 1), {"key_added": "a/b"}, ValueError, "has a '/'", id="slash"),
    ],
)
def test_bad_input_changes_nothing(adata, arguments, error, match):
    before = snapshot(adata) if isinstance(adata, ad.AnnData) else None
    with pytest.raises(error, match=match):
        scgauge.pp.binarize(adata, **arguments)
    if before is not None:
        assert list(adata.layers) in ([], [None])  # AnnData 0.13 lists X under None
        for left, right in zip(before, snapshot(adata), strict=True):
            np.testing.assert_array_equal(left, right)


def test_one_cell():
    adata = ad.AnnData(np.array([[0.0, 2.0]], dtype="f4"))
    scgauge.pp.binarize(adata)
    assert adata.layers["binary"].tolist() == [[0, 1]]
