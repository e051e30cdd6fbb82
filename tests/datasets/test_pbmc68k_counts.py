import numpy as np
import pytest
import scanpy as sc

from scgauge.datasets import pbmc68k_counts

pytestmark = pytest.mark.quick


def test_counts_reproduce_what_scanpy_stores():
    adata = pbmc68k_counts()
    assert adata.shape == (700, 765)
    counts = adata.X.toarray()
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert (counts.max(1) >= 1).all()
    stored = sc.datasets.pbmc68k_reduced().raw.X.toarray()
    # scanpy normalised over all genes: within a cell the stored values are one multiple of the counts.
    ratio = np.divide(np.expm1(stored), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    scale = np.nanmedian(ratio, axis=1, keepdims=True)
    np.testing.assert_allclose(np.log1p(scale * counts), stored, atol=0.03)  # float16 and three decimals
    assert 0 < adata.uns["scgauge_dataset"]["residual"] < 0.2


def test_labels():
    adata = pbmc68k_counts()
    assert adata.obs["cell_type"].value_counts().to_dict() == {
        "Dendritic": 240,
        "CD14+ Monocyte": 129,
        "CD19+ B": 95,
        "CD4+/CD25 T Reg": 68,
        "CD8+ Cytotoxic T": 54,
        "CD8+/CD45RA+ Naive Cytotoxic": 43,
        "CD56+ NK": 31,
        "CD4+/CD45RO+ Memory": 19,
        "CD34+": 13,
        "CD4+/CD45RA+/CD25- Naive T": 8,
    }
    assert adata.var_names.is_unique
    assert adata.obs["cell_type"].notna().all()
