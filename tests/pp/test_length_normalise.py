import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scgauge


def reads(kind=np.asarray, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.poisson(4.0, (7, 5)).astype(np.float32)
    x[2] = 0
    adata = AnnData(kind(x))
    adata.var["bases"] = rng.integers(200, 9000, 5)
    return adata, x.astype(float)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_equal_to_the_formulas(kind):
    adata, x = reads(kind)
    scgauge.pp.tpm(adata, lengths="bases")
    scgauge.pp.rpkm(adata, lengths="bases")
    bases = adata.var["bases"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        rate = x / bases
        tpm = np.nan_to_num(1e6 * rate / rate.sum(1, keepdims=True))
        rpkm = np.nan_to_num(1e9 * x / bases / x.sum(1, keepdims=True))
    for name, expected in (("tpm", tpm), ("rpkm", rpkm)):
        found = adata.layers[name]
        assert sparse.issparse(found) == sparse.issparse(adata.X)
        np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, expected, rtol=1e-6)
    # TPM sum to a million in every cell that has reads; RPKM share no sum, and are TPM up to a factor of the cell.
    full = x.sum(1) > 0
    np.testing.assert_allclose(tpm[full].sum(1), 1e6)
    assert np.ptp(rpkm[full].sum(1)) > 1e3
    share = rpkm[full] / rpkm[full].sum(1, keepdims=True)
    np.testing.assert_allclose(1e6 * share, tpm[full])


def test_lengths_by_name_or_in_order():
    adata, _ = reads()
    series = adata.var["bases"][::-1]
    scgauge.pp.tpm(adata, lengths=series, key_added="named")
    scgauge.pp.tpm(adata, lengths=adata.var["bases"].to_numpy(), key_added="plain")
    np.testing.assert_array_equal(adata.layers["named"], adata.layers["plain"])
    with pytest.raises(KeyError, match="lacks 1 genes, for example '0'"):
        scgauge.pp.tpm(adata, lengths=pd.Series(1.0, index=adata.var_names[1:]))


@pytest.mark.parametrize("function", [scgauge.pp.tpm, scgauge.pp.rpkm])
def test_bad_input(function):
    adata, _ = reads()
    for lengths, error, match in (
        ("nowhere", KeyError, "lengths='nowhere'"),
        (np.ones(3), ValueError, r"shape \(3,\)"),
        (np.zeros(5), ValueError, "lengths from 0.0"),
    ):
        with pytest.raises(error, match=match):
            function(adata, lengths=lengths)
    adata.X[0, 0] = -1
    with pytest.raises(ValueError, match="from 0 upward"):
        function(adata, lengths="bases")
    assert not list(adata.uns)
