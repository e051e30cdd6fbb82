"""Functions that pass over rows give of cells on disk what they give of cells in memory, without loading them."""

import anndata
import numpy as np
import pytest
from anndata.abc import CSRDataset
from cells import fit, make_cells, stored_as
from contract.state import SLOTS, contents

import scgauge
from scgauge._core import matrix
from scgauge._core.stored_rows import is_stored
from scgauge.model import CountVI


class Chunked:
    """What is seen of a dask array: chunks, slices of rows that are computed later, and nothing of numpy's."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.chunks = x, x.shape, x.dtype, ((50, x.shape[0] - 50), (x.shape[1],))

    def __getitem__(self, rows):
        return Chunked(self.x[rows])

    def compute(self):
        return self.x


def counts():
    adata = make_cells(n_obs=150)
    rng = np.random.default_rng(0)
    adata.obsm["X_pca"] = rng.normal(size=(150, 4))
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, :2] + 0.1 * rng.normal(size=(150, 2))
    return adata


def binary():
    adata = counts()
    adata.X.data[:] = 1
    return adata


def shares():
    adata = counts()
    adata.X = adata.X.multiply(1 / adata.X.sum(1)).tocsr().astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def model():
    return fit(CountVI, make_cells(n_obs=150))


ATTRIBUTE = {"n_steps": 5, "rng": 0, "progress": False}
REP = {"basis": "X_umap", "use_rep": "X_pca"}
CALLS = {
    "gene_marginals": (counts, lambda a, _: scgauge.metrics.gene_marginals(a.X)),
    "cell_marginals": (counts, lambda a, _: scgauge.metrics.cell_marginals(a.X)),
    "binarize": (counts, lambda a, _: scgauge.pp.binarize(a, threshold="quantile")),
    "recover_counts": (shares, lambda a, _: scgauge.pp.recover_counts(a)),
    "log_odds_ratio": (binary, lambda a, _: scgauge.tl.log_odds_ratio(a, layer=None)),
    "compare_log_odds": (binary, lambda a, _: scgauge.tl.compare_log_odds(a, binary()[:80].copy(), layer=None)),
    "attribute": (counts, lambda a, m: scgauge.tl.attribute(a, m, groupby="type", baseline="group", **ATTRIBUTE)),
    "expected": (counts, lambda a, m: scgauge.tl.attribute(a, m, method="expected_gradients", copy=True, **ATTRIBUTE)),
    "dream": (counts, lambda a, m: scgauge.tl.dream(a, m, target=0, rng=0)),
    "impute": (counts, lambda a, m: scgauge.tl.impute(a, m, n_samples=2, rng=0, progress=False)),
    "embedding_quality": (counts, lambda a, _: scgauge.tl.embedding_quality(a, n_neighbors=(5,), rng=0, **REP)),
    "latent_distances": (counts, lambda a, _: scgauge.tl.latent_distances(a, use_rep="X_pca", groupby="type", rng=0)),
}


def found(result, adata):
    """Everything but the matrix of the cells."""
    cells = adata if result is None else result
    if not isinstance(cells, anndata.AnnData):
        return contents(cells)
    return {slot: contents({k: v for k, v in getattr(cells, slot).items() if k is not None}) for slot in SLOTS}


@pytest.mark.parametrize("kind", ["backed", "dask"])
@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_of_cells_in_memory(name, kind, model, tmp_path, monkeypatch):
    make, call = CALLS[name]
    memory = make()
    disk = stored_as(kind, memory, tmp_path / "cells.h5ad")
    expected = found(call(memory, model), memory)

    def fail(*_):
        message = "The matrix was loaded."
        raise AssertionError(message)

    for implementation in CSRDataset.__subclasses__():
        monkeypatch.setattr(implementation, "to_memory", fail)
    monkeypatch.setattr(matrix, "fetch", fail)
    monkeypatch.setattr(matrix, "BLOCK_BYTES", 8 * 20 * 64)  # three blocks
    result = found(call(disk, model), disk)
    assert is_stored(disk.X)
    assert set(result) == set(expected)
    assert flat(result) == pytest.approx(flat(expected), rel=1e-4, abs=1e-6, nan_ok=True)


def flat(value):
    """All numbers of nested values in a row; text must be equal and is kept by its length."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in flat(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    return [float(len(value)) if isinstance(value, str) else float(value)]


def test_arrays_that_are_computed_later_are_read_by_rows():
    cells = counts()
    lazy = Chunked(cells.X)
    assert is_stored(lazy)
    np.testing.assert_allclose(
        scgauge.metrics.gene_marginals(lazy).variance, scgauge.metrics.gene_marginals(cells.X).variance
    )
    np.testing.assert_array_equal(
        matrix.take_rows(lazy, np.array([149, 3, 3])).toarray(), cells.X[[149, 3, 3]].toarray()
    )
    on = binary().X
    np.testing.assert_array_equal(
        scgauge.metrics.log_odds_ratio(Chunked(on)).log_odds, scgauge.metrics.log_odds_ratio(on).log_odds
    )


def test_a_copy_shares_the_file_and_nothing_else(tmp_path):
    counts().write_h5ad(tmp_path / "cells.h5ad")
    disk = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    before = set(disk.uns)
    copied = scgauge.tl.latent_distances(disk, use_rep="X_pca", groupby="type", rng=0, copy=True)
    assert "latent_distances" in copied.uns
    assert set(disk.uns) == before
    assert is_stored(copied.X)
    copied.obs["type"] = "none"
    copied.obsm["X_pca"][:] = 0
    assert set(disk.obs["type"]) != {"none"}
    assert disk.obsm["X_pca"].any()


def test_differential_expression_leaves_out_raw_means(model, tmp_path):
    cells = make_cells(n_obs=150)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    disk = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    groups = {"groupby": "batch", "group1": "b1", "group2": "b2", "silent": True}
    table = model.differential_expression(disk, **groups)
    assert len(table) == 20
    assert not {"raw_mean1", "non_zeros_proportion1"} & set(table.columns)
    with pytest.raises(ValueError, match="all_stats=True needs the counts in memory"):
        model.differential_expression(disk, all_stats=True, **groups)


@pytest.mark.parametrize("how", ["disk", "memory"])
def test_raw_means_of_data_that_are_no_counts(how, tmp_path):
    cells = make_cells("bernoulli", n_obs=100)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    data = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r") if how == "disk" else cells
    binary_model = fit(CountVI, data, gene_likelihood="bernoulli", epochs=1)
    table = binary_model.differential_expression(groupby="batch", group1="b1", group2="b2", silent=True)
    x = cells.X.toarray()[(cells.obs["batch"] == "b1").to_numpy()].mean(0)
    expected = dict(zip(cells.var_names, x, strict=True))
    np.testing.assert_allclose(table["raw_mean1"], [expected[gene] for gene in table.index], rtol=1e-6)
