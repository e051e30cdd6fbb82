"""What can and what cannot be attributed of a model without a posterior."""

import pytest
from cells import make_cells, train_quietly

from scgauge import tl
from scgauge.model import Autoencoder


@pytest.fixture(scope="module")
def trained():
    adata = make_cells()
    Autoencoder.setup_anndata(adata)
    return adata, train_quietly(Autoencoder(adata, n_latent=2), max_epochs=2)


def test_the_evidence_lower_bound_of_an_autoencoder_is_refused(trained):
    adata, model = trained
    before = list(adata.uns)
    with pytest.raises(TypeError, match="no posterior and no evidence lower bound"):
        tl.attribute(adata, model, target="elbo", progress=False)
    assert list(adata.uns) == before


def test_latent_dimensions_of_an_autoencoder_are_attributed(trained):
    adata, model = trained
    result = tl.attribute(adata, model, rng=0, progress=False, copy=True)
    assert result.varm["ig"].shape == (adata.n_vars, 2)
    assert (result.uns["ig"]["completeness"]["error"] < 0.01).all()
