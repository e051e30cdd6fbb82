"""What `open_cells` takes and turns away."""

import json

import anndata as ad
import h5py
import numpy as np
import pytest
from cells import make_cells
from scipy import sparse

from scgauge.report import open_cells
from scgauge.report._cells import rows_to_show


def shares(adata):
    """Counts divided by their sum, as many files hold them in X."""
    normalised = adata.copy()
    normalised.layers["raw"] = adata.X.copy()
    normalised.X = sparse.csr_matrix(adata.X / adata.X.sum(1))
    return normalised


def test_without_data_it_is_the_blood_cells():
    cells = open_cells()
    assert cells.adata.shape == (700, 765)
    assert cells.source == "scgauge.datasets.pbmc68k_counts()"
    assert cells.labels_key == "cell_type"
    assert cells.labels.tolist() == cells.adata.obs["cell_type"].astype(str).tolist()


def test_another_column_of_the_blood_cells():
    assert open_cells(labels_key="phase").labels_key == "phase"


def test_a_file_is_read_and_named(tmp_path):
    adata = make_cells()
    adata.write_h5ad(tmp_path / "mine.h5ad")
    cells = open_cells(tmp_path / "mine.h5ad", labels_key="type", batch_key="batch")
    assert cells.source == "mine.h5ad"
    assert cells.labels.nunique() == 3
    np.testing.assert_array_equal(cells.counts.toarray(), adata.X.toarray())


def test_the_model_sees_counts_and_batches_alone():
    adata = shares(make_cells())
    shell = open_cells(adata, layer="raw", labels_key="type", batch_key="batch").for_model()
    np.testing.assert_array_equal(shell.X.toarray(), adata.layers["raw"].toarray())
    assert list(shell.obs) == ["batch"]
    assert not shell.uns
    shell.obs["new"] = 1
    assert "new" not in adata.obs


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(sparse.csc_matrix, id="csc"),
        pytest.param(sparse.csr_array, id="csr_array"),
        pytest.param(lambda x: x.toarray(), id="dense"),
        pytest.param(lambda x: x.astype(np.int64), id="int64"),
    ],
)
def test_every_form_of_counts_is_taken(form):
    adata = make_cells()
    expected = adata.X.toarray()
    counts = open_cells(ad.AnnData(form(adata.X))).counts
    assert isinstance(counts, sparse.csr_matrix | np.ndarray)
    np.testing.assert_array_equal(counts.toarray() if sparse.issparse(counts) else counts, expected)


def test_a_missing_label_has_a_name():
    adata = make_cells()
    adata.obs["type"] = adata.obs["type"].astype("category")
    adata.obs.loc[adata.obs_names[:7], "type"] = np.nan
    labels = open_cells(adata, labels_key="type").labels
    assert (labels == "not labelled").tolist() == [True] * 7 + [False] * (adata.n_obs - 7)


def test_shown_cells_keep_their_shares_and_no_label_is_lost():
    adata = make_cells(n_obs=400)
    adata.obs["type"] = ["common"] * 300 + ["rare"] * 99 + ["single"]
    cells = open_cells(adata, labels_key="type")
    rows = rows_to_show(cells, 40, np.random.default_rng(0))
    assert cells.labels.iloc[rows].value_counts().to_dict() == {"common": 30, "rare": 9, "single": 1}
    assert len(rows_to_show(open_cells(adata), 40, np.random.default_rng(0))) == 40


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match=r"Found no file 'nowhere.h5ad'"):
        open_cells("nowhere.h5ad")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="Found no file"):
        open_cells(tmp_path)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "cells.h5ad").write_text(json.dumps({"X": 1}))
    with pytest.raises(ValueError, match="is not an HDF5 file; an .h5ad file is needed"):
        open_cells(tmp_path / "cells.h5ad")


def test_an_hdf5_file_without_cells(tmp_path):
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        file["matrix"] = np.ones(3)
    with pytest.raises(ValueError, match=r"holds \['matrix'\] and not the cells of an AnnData"):
        open_cells(tmp_path / "cells.h5ad")


def test_data_of_another_type():
    with pytest.raises(TypeError, match="`data` is ndarray; an AnnData is needed"):
        open_cells(np.ones((30, 5)))


def test_too_few_cells():
    with pytest.raises(ValueError, match="Found 19 cells; at least 20 are needed"):
        open_cells(make_cells(n_obs=19))
    open_cells(make_cells(n_obs=20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels_key": "nowhere"}, "Did not find labels_key='nowhere' in adata.obs; found .*'type'"),
        ({"batch_key": "nowhere"}, "Did not find batch_key='nowhere'"),
        ({"layer": "nowhere"}, "Did not find the layer 'nowhere'"),
    ],
)
def test_missing_keys(arguments, message):
    with pytest.raises(KeyError, match=message):
        open_cells(make_cells(), **arguments)


def test_numbers_are_no_labels():
    with pytest.raises(ValueError, match=r"adata.obs\['age'\] has 120 different values, more than a figure can show"):
        open_cells(make_cells(), labels_key="age")


def test_repeated_genes():
    adata = make_cells()
    adata.var_names = ["gene"] * adata.n_vars
    with pytest.raises(ValueError, match="Gene names must be unique"):
        open_cells(adata)


def test_an_empty_cell():
    adata = make_cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(adata.n_obs) != 3)[:, None])
    with pytest.raises(ValueError, match="has 1 cells without a single count, the first 'cell_3'"):
        open_cells(adata)


def test_the_layer_with_counts_is_named():
    with pytest.raises(ValueError, match=r"adata.layers\['raw'\] holds counts: pass layer='raw' \(--layer raw\)\.$"):
        open_cells(shares(make_cells()))


def test_several_layers_with_counts_are_named():
    adata = shares(make_cells())
    adata.layers["again"] = adata.layers["raw"].copy()
    with pytest.raises(
        ValueError, match=r"adata.layers\['raw'\], adata.layers\['again'\] hold counts: pass layer='raw'"
    ):
        open_cells(adata)


def test_counts_in_x_are_named():
    adata = make_cells()
    adata.layers["log"] = adata.X.log1p()
    with pytest.raises(ValueError, match=r"adata.X holds counts: leave `layer` \(--layer\) out"):
        open_cells(adata, layer="log")


def test_counts_in_raw_are_named():
    adata = make_cells()
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()
    with pytest.raises(ValueError, match=r"adata.raw holds counts: run adata.layers\['counts'\] = "):
        open_cells(adata)


def test_no_counts_anywhere():
    adata = make_cells("normal")
    with pytest.raises(ValueError, match=r"adata.X must hold counts; found .* negative entries.*centred\.$"):
        open_cells(adata)
