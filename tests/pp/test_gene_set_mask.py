import numpy as np
import pandas as pd
import pytest
from cells import make_cells

from scgauge.pp import gene_set_mask

pytestmark = pytest.mark.quick

SETS = {
    "big": [f"gene_{i}" for i in range(12)],
    "with/slash": [f"gene_{i}" for i in range(10, 16)] + ["unknown"],
    "small": ["gene_1", "gene_2"],
}


def test_mask_and_table():
    adata = make_cells()
    gene_set_mask(adata, gene_sets=SETS, min_genes=3)
    mask = adata.varm["gene_sets"]
    assert list(mask.columns) == ["big", "with|slash"]
    expected = [[name in SETS["big"], name in SETS["with/slash"]] for name in adata.var_names]
    np.testing.assert_array_equal(mask.to_numpy(), expected)
    table = adata.uns["gene_sets"]["sets"].set_index("gene_set")
    assert table["n_genes"].to_dict() == {"big": 12, "with/slash": 7, "small": 2}
    assert table["n_found"].to_dict() == {"big": 12, "with/slash": 6, "small": 2}
    assert table["kept"].to_dict() == {"big": True, "with/slash": True, "small": False}


def test_limits():
    adata = make_cells()
    gene_set_mask(adata, gene_sets=SETS, min_genes=1, max_genes=6)
    assert list(adata.varm["gene_sets"].columns) == ["with|slash", "small"]
    with pytest.raises(ValueError, match="min_genes=5 and max_genes=2"):
        gene_set_mask(adata, gene_sets=SETS, max_genes=2)


def test_gmt_file(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("\n".join(f"{name}\thttp://x\t" + "\t".join(genes) for name, genes in SETS.items()) + "\n\n")
    one, two = make_cells(), make_cells()
    gene_set_mask(one, gene_sets=path, min_genes=2)
    gene_set_mask(two, gene_sets=SETS, min_genes=2)
    pd.testing.assert_frame_equal(one.varm["gene_sets"], two.varm["gene_sets"])
    path.write_text("no tabs here\n")
    with pytest.raises(ValueError, match="Line 1 of .* has 1 fields"):
        gene_set_mask(one, gene_sets=path)
    with pytest.raises(FileNotFoundError):
        gene_set_mask(one, gene_sets=tmp_path / "nowhere.gmt")


def test_symbols_that_do_not_fit():
    adata = make_cells()
    adata.var_names = [f"ENSG{i}" for i in range(20)]
    with pytest.raises(ValueError, match=r"the most found is 0.*'ENSG0'"):
        gene_set_mask(adata, gene_sets=SETS)
