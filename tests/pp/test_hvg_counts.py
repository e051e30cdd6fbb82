import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import scgauge

pytestmark = [
    # pandas 3.1 on scanpy 1.12, where the tests call scanpy themselves
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:Warning:scanpy"),
]


def draw_cells(n=150, p=40, seed=0, kind=sparse.csr_matrix):
    """Genes 0 to 4 differ between two halves of the cells; gene 39 has no count."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(2.0, 2.0, p) * np.ones((n, 1))
    rate[: n // 2, :5] *= 6
    counts = rng.poisson(rate).astype(np.float32)
    counts[:, -1] = 0
    adata = ad.AnnData(kind(counts))
    adata.obs["batch"] = np.repeat(["u", "v"], [100, n - 100])
    return adata


def test_finds_the_genes_that_vary():
    adata = draw_cells()
    assert scgauge.pp.hvg_counts(adata, n_top_genes=5) is None
    assert adata.var_names[adata.var["highly_variable"]].tolist() == ["0", "1", "2", "3", "4"]
    assert sorted(adata.var["highly_variable_rank"].dropna()) == [0, 1, 2, 3, 4]
    assert adata.var["highly_variable"].dtype == bool


def integers(counts):
    return sparse.csr_matrix(counts.astype(np.int64))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, integers])
def test_one_batch_equals_scanpy(kind):
    adata = draw_cells(kind=kind)
    table = sc.experimental.pp.highly_variable_genes(draw_cells(), n_top_genes=12, inplace=False)
    scgauge.pp.hvg_counts(adata, n_top_genes=12)
    assert np.array_equal(adata.var["highly_variable"], table["highly_variable"])
    # The same function on another kind of matrix: sums in another order.
    np.testing.assert_allclose(adata.var["highly_variable_score"], table["residual_variances"], rtol=1e-6)


@pytest.mark.parametrize("flavor", ["seurat_v3", "seurat_v3_paper"])
def test_seurat_equals_scanpy(flavor):
    pytest.importorskip("skmisc")
    adata = draw_cells()
    table = sc.pp.highly_variable_genes(draw_cells(), n_top_genes=12, flavor=flavor, batch_key="batch", inplace=False)
    scgauge.pp.hvg_counts(adata, n_top_genes=12, flavor=flavor, batch_key="batch")
    assert np.array_equal(adata.var["highly_variable"], table["highly_variable"])
    assert np.array_equal(adata.var["highly_variable_score"], table["variances_norm"])
    assert adata.uns["highly_variable"]["params"]["theta"] is None


def test_names_of_batches_do_not_matter():
    # scanpy alone clips every batch at the root of the size of the batch that comes first.
    adata, renamed = draw_cells(), draw_cells()
    adata.X[3, 7] = renamed.X[3, 7] = 5000
    renamed.obs["batch"] = renamed.obs["batch"].map({"u": "z", "v": "a"})
    for data in (adata, renamed):
        scgauge.pp.hvg_counts(data, n_top_genes=10, batch_key="batch")
    np.testing.assert_allclose(adata.var["highly_variable_score"], renamed.var["highly_variable_score"], rtol=1e-10)


def test_layer_theta_and_key():
    adata = draw_cells()
    expected = draw_cells()
    adata.layers["counts"] = adata.X.copy()
    adata.X = sparse.csr_matrix(np.full(adata.shape, 0.5, dtype="f4"))
    scgauge.pp.hvg_counts(adata, n_top_genes=5, layer="counts", theta=10, key_added="hvg")
    table = sc.experimental.pp.highly_variable_genes(expected, n_top_genes=5, theta=10, inplace=False)
    np.testing.assert_allclose(adata.var["hvg_score"], table["residual_variances"], rtol=1e-6)
    assert adata.uns["hvg"]["params"]["layer"] == "counts"


def test_backed_file_and_view(tmp_path):
    adata = draw_cells()
    scgauge.pp.hvg_counts(adata, n_top_genes=5)
    draw_cells().write_h5ad(tmp_path / "counts.h5ad")
    backed = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    scgauge.pp.hvg_counts(backed, n_top_genes=5)
    assert np.array_equal(backed.var["highly_variable"], adata.var["highly_variable"])
    backed.file.close()
    parent = draw_cells()
    result = scgauge.pp.hvg_counts(parent[:, :20], n_top_genes=5, copy=True)
    assert result.var["highly_variable"].sum() == 5
    assert "highly_variable" not in parent.var


def test_input_matrix_is_kept_and_nothing_else_is_written():
    adata = draw_cells()
    before = adata.X.toarray()
    scgauge.pp.hvg_counts(adata, n_top_genes=5, batch_key="batch")
    assert np.array_equal(adata.X.toarray(), before)
    assert list(adata.uns) == ["highly_variable"]
    assert list(adata.var) == ["highly_variable", "highly_variable_score", "highly_variable_rank"]
    assert list(adata.obs) == ["batch"]


@pytest.mark.parametrize("file", ["h5ad", "zarr"])
def test_result_survives_a_file(file, tmp_path):
    adata = draw_cells()
    scgauge.pp.hvg_counts(adata, n_top_genes=5)
    path = tmp_path / f"cells.{file}"
    (adata.write_h5ad if file == "h5ad" else adata.write_zarr)(path)
    read = ad.read_h5ad(path) if file == "h5ad" else ad.read_zarr(path)
    pd.testing.assert_frame_equal(read.var, adata.var)
    assert read.uns["highly_variable"]["params"] == adata.uns["highly_variable"]["params"]


def with_value(value):
    adata = draw_cells(kind=np.asarray)
    adata.X[2, 1] = value
    return adata


def with_empty_cell():
    adata = draw_cells(kind=np.asarray)
    adata.X[2] = 0
    return adata


@pytest.mark.parametrize(
    ("adata", "arguments", "error", "match"),
    [
        pytest.param(with_value(0.5), {}, ValueError, "found 1 non-integer entries.*cell '2', gene '1'", id="float"),
        pytest.param(with_value(-1), {}, ValueError, "found 1 negative entries", id="negative"),
        pytest.param(with_value(np.nan), {}, ValueError, "found 1 NaN or infinite entries", id="nan"),
        pytest.param(
            with_empty_cell(), {}, ValueError, "1 cells without a single count, the first '2'", id="empty-cell"
        ),
        pytest.param(draw_cells(), {"layer": "no"}, KeyError, "Did not find the layer 'no'", id="no-layer"),
        pytest.param(draw_cells(), {"batch_key": "no"}, KeyError, "Did not find batch_key='no'", id="no-batch"),
        pytest.param(
            draw_cells(), {"n_top_genes": 40}, ValueError, "must be from 1 to 39, the number", id="empty-gene"
        ),
        pytest.param(draw_cells(), {"n_top_genes": 0}, ValueError, "n_top_genes=0 must be from 1", id="no-genes"),
        pytest.param(draw_cells(), {"flavor": "seurat"}, ValueError, "'seurat' does not rank counts", id="flavor"),
        pytest.param(draw_cells(), {"theta": 0}, ValueError, "theta=0 must be positive", id="theta"),
        pytest.param(np.ones((2, 2)), {}, TypeError, "`adata` is ndarray", id="array"),
        pytest.param(draw_cells(), {"key_added": "a/b"}, ValueError, "has a '/'", id="slash"),
    ],
)
def test_bad_input_changes_nothing(adata, arguments, error, match):
    with pytest.raises(error, match=match):
        scgauge.pp.hvg_counts(adata, **{"n_top_genes": 5, **arguments})
    if isinstance(adata, ad.AnnData):
        assert adata.var.empty
        assert not adata.uns


def test_repeated_gene_names():
    adata = draw_cells()
    adata.var_names = ["a", "a", *map(str, range(38))]
    with pytest.raises(ValueError, match="Gene names must be unique"):
        scgauge.pp.hvg_counts(adata, n_top_genes=5)


def test_seurat_without_scikit_misc(monkeypatch):
    monkeypatch.setattr("scgauge.pp._hvg_counts.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs scikit-misc.*pip install scikit-misc"):
        scgauge.pp.hvg_counts(draw_cells(), n_top_genes=5, flavor="seurat_v3")


def test_one_cell():
    adata = ad.AnnData(np.array([[1.0, 2.0, 0.0]], dtype="f4"))
    scgauge.pp.hvg_counts(adata, n_top_genes=2)
    assert adata.var["highly_variable_score"].tolist() == [0, 0, 0]
