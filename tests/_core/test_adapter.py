import numpy as np
import pytest
import scvi
from cells import fit, make_cells

from scgauge._core.adapter import adapt, register_adapter, shell
from scgauge._core.optional import need
from scgauge.model import CountVI

pytestmark = pytest.mark.quick


def test_encoding_new_cells_writes_nothing_into_them():
    model = fit(CountVI, make_cells())
    query = make_cells(seed=1)
    before = query.copy()
    mean, variance = adapt(model).encode(adata=query)
    expected = model.get_latent_representation(make_cells(seed=1), return_dist=True)
    np.testing.assert_array_equal(mean, expected[0])
    np.testing.assert_array_equal(variance, expected[1])
    assert list(query.obs.columns) == list(before.obs.columns)
    assert dict(query.uns) == {}


def test_shell_shares_matrices():
    adata = make_cells()
    adata.layers["counts"] = adata.X
    adata.uns["note"] = 1
    twin = shell(adata)
    assert twin.X is adata.X
    assert twin.layers["counts"] is adata.layers["counts"]
    assert "note" not in twin.uns
    twin.obs["new"] = 1
    assert "new" not in adata.obs


def test_context_holds_what_the_decoder_reads():
    model = fit(CountVI, make_cells())
    cells = np.array([4, 9])
    context = adapt(model).context(cells)
    obs = model.adata.obs.iloc[cells]
    np.testing.assert_array_equal(context.batch, (obs["batch"] == "b2").astype(int))
    np.testing.assert_allclose(context.exposure, np.asarray(model.adata.X[cells].sum(1)).ravel())
    np.testing.assert_allclose(context.cont_covs.ravel(), obs["age"])
    assert context.take(slice(0, 1)).batch.shape == (1,)


def test_names_and_capabilities():
    adapter = adapt(fit(CountVI, make_cells(), use_observed_lib_size=False))
    assert adapter.latents == ["Z_0", "Z_1", "Z_2"]
    assert list(adapter.genes[:2]) == ["gene_0", "gene_1"]
    assert adapter.capabilities == {"latent_library"}
    assert list(adapter.categories("batch")) == ["b1", "b2"]


@pytest.mark.parametrize("latent_distribution", ["normal", "ln"])
def test_decoding_equals_scvi_tools(latent_distribution):
    model = fit(scvi.model.SCVI, make_cells(), latent_distribution=latent_distribution)
    adapter, cells = adapt(model), np.arange(10)
    z = adapter.transform_latent(adapter.encode(cells)[0].astype(float))
    found = adapter.decode(z, adapter.context(cells))
    if latent_distribution == "ln":
        np.testing.assert_allclose(z.sum(1), 1, rtol=1e-6)
    scale = found["mean"] / adapter.context(cells).exposure[:, None]
    np.testing.assert_allclose(scale.sum(1), 1, rtol=1e-5)
    assert set(found) == {"mean", "dispersions", "dropout"}


def test_subclasses_are_read_as_their_parents():
    class MyVI(scvi.model.SCVI):
        pass

    model = fit(MyVI, make_cells())
    assert adapt(model).likelihood == "zinb"


def test_own_model_classes_can_register():
    class Own:
        is_trained = True

    with pytest.raises(TypeError, match="Own cannot be read"):
        adapt(Own())
    register_adapter(Own, lambda model: ("adapter of", model))
    own = Own()
    assert adapt(own) == ("adapter of", own)


def test_optional_package_that_is_missing_says_how_to_install_it():
    with pytest.raises(ImportError, match=r"needed for drawing clouds. Run: pip install 'scgauge\[sky\]'"):
        need("no_such_package_at_all", extra="sky", purpose="drawing clouds")
    assert need("json", extra="x", purpose="y").dumps([1]) == "[1]"
