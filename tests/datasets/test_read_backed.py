import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import make_cells

from scgauge._core.stored_rows import StoredRows, fetch, is_stored
from scgauge.datasets import read_backed

pytestmark = [
    pytest.mark.quick,
    # What anndata 0.12 says of the format of annbatch.
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding will be the default:UserWarning"),
]


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_tables_are_read_and_the_matrix_stays(kind, tmp_path):
    adata = make_cells()
    adata.layers["counts"] = adata.X * 2
    adata.obsm["X_pca"] = np.ones((120, 2))
    adata.varm["loadings"] = np.ones((20, 2))
    adata.uns["note"] = {"by": "hand"}
    path = tmp_path / f"cells.{kind}"
    getattr(adata, f"write_{kind}")(path)
    for layer, expected in ((None, adata.X), ("counts", adata.layers["counts"])):
        cells = read_backed(path, layer=layer)
        assert is_stored(cells.X)
        assert cells.shape == adata.shape
        np.testing.assert_array_equal(cells[[7, 3]].X.toarray(), expected[[7, 3]].toarray())
        np.testing.assert_array_equal(cells.to_memory().X.toarray(), expected.toarray())
    pd.testing.assert_frame_equal(cells.obs, adata.obs, check_dtype=False, check_categorical=False)
    assert cells.obsm.keys() == {"X_pca"}
    assert cells.varm.keys() == {"loadings"}
    assert cells.uns["note"] == {"by": "hand"}


def write_collection(folder, adatas):
    """Write data sets as annbatch does."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(folder, mode="w")
    group.attrs.update({"encoding-type": "annbatch-preshuffled"})
    for number, adata in enumerate(adatas):
        anndata.io.write_elem(group, f"dataset_{number}", adata)
    return folder


@pytest.mark.parametrize("n_sets", [1, 12])
def test_data_sets_of_a_collection_follow_each_other(n_sets, tmp_path):
    adata = make_cells()
    adata.layers["counts"] = adata.X * 2
    adata.obsm["X_pca"] = np.arange(240.0).reshape(120, 2)
    adata.uns["note"] = "by hand"
    parts = [adata[rows].copy() for rows in np.array_split(np.arange(120), n_sets)]
    path = write_collection(tmp_path / "cells.zarr", parts)
    for layer, expected in ((None, adata.X), ("counts", adata.layers["counts"])):
        cells = read_backed(path, layer=layer)
        assert is_stored(cells.X)
        np.testing.assert_array_equal(fetch(cells.X).toarray(), expected.toarray())
        taken = StoredRows(cells.X).take(np.array([75, 3, 119]))
        np.testing.assert_array_equal(taken.toarray(), expected[[75, 3, 119]].toarray())
    pd.testing.assert_frame_equal(cells.obs, adata.obs, check_dtype=False, check_categorical=False)
    np.testing.assert_array_equal(cells.obsm["X_pca"], adata.obsm["X_pca"])
    assert list(cells.var_names) == list(adata.var_names)
    assert cells.uns["note"] == "by hand"


def test_collections_that_do_not_fit_together_are_refused(tmp_path):
    adata = make_cells()
    with pytest.raises(ValueError, match=r"'.*none.zarr' is a collection of annbatch without data sets"):
        read_backed(write_collection(tmp_path / "none.zarr", []))
    with pytest.raises(ValueError, match=r"dataset_1 of '.*other.zarr' has other genes than dataset_0"):
        read_backed(write_collection(tmp_path / "other.zarr", [adata[:60].copy(), adata[60:, ::-1].copy()]))
    path = write_collection(tmp_path / "damaged.zarr", [adata[:60].copy(), adata[60:].copy()])
    (chunk,) = (file for file in (path / "dataset_1" / "X" / "indptr").rglob("0") if file.is_file())
    chunk.write_bytes(b"half")
    with pytest.raises(ValueError, match=r"dataset_1' is damaged"):
        read_backed(path)


def test_what_is_no_anndata_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_backed(tmp_path / "nowhere.h5ad")
    (tmp_path / "text.h5ad").write_text("cells")
    with pytest.raises(ValueError, match="neither an h5ad file nor a zarr store"):
        read_backed(tmp_path / "text.h5ad")
    adata = make_cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(KeyError, match="Did not find the layer 'counts'"):
        read_backed(tmp_path / "cells.h5ad", layer="counts")
    adata.X = None
    adata.write_h5ad(tmp_path / "empty.h5ad")
    for kind in ("without X", "X that is null"):
        with h5py.File(tmp_path / "empty.h5ad", "a") as file:
            file.pop("X", None)
            if kind == "X that is null":
                file["X"] = h5py.Empty("f4")
                file["X"].attrs.update({"encoding-type": "null", "encoding-version": "0.1.0"})
        with pytest.raises(KeyError, match="no matrix in X"):
            read_backed(tmp_path / "empty.h5ad")
    adata.write_zarr(tmp_path / "cells.zarr")
    with pytest.raises(ValueError, match="holds no AnnData but dataframe"):
        read_backed(tmp_path / "cells.zarr" / "obs")
