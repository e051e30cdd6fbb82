import h5py
import numpy as np
import pandas as pd
import pytest
from cells import make_cells

from scgauge._core.stored_rows import is_stored
from scgauge.datasets import read_backed

pytestmark = pytest.mark.quick


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
