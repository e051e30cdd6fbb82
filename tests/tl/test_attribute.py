import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from cells import fit, make_cells
from scipy import sparse
from scipy.stats import spearmanr

import scgauge
from scgauge._core.adapter import adapt
from scgauge.model import CountVI, LinearVI
from scgauge.tl._attribution_tables import null_cells
from scgauge.tl._attribution_target import resolve_target

SCANVI = {"labels_key": "type", "unlabeled_category": "unknown", "batch_key": "batch"}
MODELS = {
    "CountVI": (CountVI, {}),
    "CountVI-covariates": (CountVI, {"encode_covariates": True, "n_layers": 2, "use_layer_norm": "encoder"}),
    "LinearVI": (LinearVI, {}),
    "SCVI": (scvi.model.SCVI, {}),
    "SCVI-covariates": (scvi.model.SCVI, {"encode_covariates": True, "n_layers": 2, "use_layer_norm": "encoder"}),
    "SCVI-shallow": (scvi.model.SCVI, {"encode_covariates": True, "n_layers": 2, "deeply_inject_covariates": False}),
    "LinearSCVI": (scvi.model.LinearSCVI, {}),
    "SCANVI": (scvi.model.SCANVI, {}),
}
#: A model of the evidence lower bound alone.
OTHERS = {"CountVI-nb": (CountVI, {"gene_likelihood": "nb"})}


@pytest.fixture(scope="module")
def models():
    """Models trained for a few epochs, each made when first asked for."""
    made = {}

    def get(name):
        if name not in made:
            model_class, network = (MODELS | OTHERS)[name]
            setup = {"SCANVI": SCANVI, "LinearSCVI": {"batch_key": "batch"}}.get(name)
            made[name] = fit(model_class, make_cells(), setup=setup, epochs=8, **network)
        return made[name]

    return get


def attribute(model, adata=None, **arguments):
    """Attributions with the warnings of hardly trained models silenced; the data with results."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The latent dimensions", category=UserWarning)
        adata = make_cells() if adata is None else adata
        return scgauge.tl.attribute(adata, model, **{"rng": 0, "progress": False, "copy": True} | arguments)


def posterior_mean(model, adata):
    """Latent means as a function of counts, through the module's own inference; an independent route."""
    module = model.module.eval()
    tensors = next(iter(model._make_data_loader(adata=model._validate_anndata(adata), batch_size=adata.n_obs)))
    inputs = module._get_inference_input(tensors)
    fixed = {key: value for key, value in inputs.items() if key != "x"}

    def of_counts(x):
        times = len(x) // adata.n_obs
        beside = {k: v.repeat(times, 1) if isinstance(v, torch.Tensor) else v for k, v in fixed.items()}
        return module.inference(x=x, **beside)["qz"].loc

    return of_counts, inputs["x"]


def mean_baseline(x):
    return x.sum(1, keepdim=True) * (x.sum(0) / x.sum())


@pytest.mark.parametrize("name", MODELS)
def test_latents_equal_captum_in_log_counts(models, name, monkeypatch):
    monkeypatch.setattr("scgauge.tl._attribution_run._TOLERANCE", np.inf)  # captum keeps the number of steps
    model, adata = models(name), make_cells()
    found = attribute(model, adata, store="layer")
    of_counts, x = posterior_mean(model, adata.copy())
    captum = IntegratedGradients(lambda u: of_counts(torch.expm1(u)))
    for target in range(3):
        expected = captum.attribute(torch.log1p(x), torch.log1p(mean_baseline(x)), target=target, n_steps=50)
        expected = expected.detach().numpy()
        layer = found.layers[f"ig_Z_{target}"]
        np.testing.assert_allclose(layer, expected, atol=1e-6 * max(1, np.abs(expected).max()))
        np.testing.assert_allclose(found.varm["ig"][:, target], np.abs(layer).mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.varm["ig_signed"][:, target], layer.mean(0), atol=1e-6)
        change = (of_counts(x) - of_counts(mean_baseline(x)))[:, target].detach().numpy()
        error = np.abs(layer.sum(1) - change).max() / np.abs(change).max()
        # Differences of float32 numbers.
        np.testing.assert_allclose(found.uns["ig"]["completeness"]["error"][target], error, atol=2e-5, rtol=0.02)


@pytest.mark.parametrize("name", ["CountVI-covariates", "SCVI"])
def test_path_in_counts_equals_captum(models, name, monkeypatch):
    monkeypatch.setattr("scgauge.tl._attribution_run._TOLERANCE", np.inf)
    model, adata = models(name), make_cells()
    found = attribute(model, adata, store="layer", path="counts", target=[2], baseline="zero")
    assert found.uns["ig"]["names"] == ["Z_2"]
    of_counts, x = posterior_mean(model, adata.copy())
    expected = IntegratedGradients(of_counts).attribute(x, torch.zeros_like(x), target=2, n_steps=50)
    np.testing.assert_allclose(found.layers["ig_Z_2"], expected.detach(), atol=2e-6)


def test_classes_equal_captum_on_the_classifier(models, monkeypatch):
    monkeypatch.setattr("scgauge.tl._attribution_run._TOLERANCE", np.inf)
    model, adata = models("SCANVI"), make_cells()
    found = attribute(model, adata, store="layer", target={"class": ["delta"]}, baseline="zero")
    _, x = posterior_mean(model, adata.copy())
    batch = torch.as_tensor((adata.obs["batch"] == "b2").to_numpy().astype(int))[:, None]

    def classify(u):
        return model.module.classify(torch.expm1(u), batch_index=batch.repeat(len(u) // len(batch), 1))

    expected = IntegratedGradients(classify).attribute(torch.log1p(x), torch.zeros_like(x), target=2, n_steps=50)
    np.testing.assert_allclose(found.layers["ig_delta"], expected.detach(), atol=2e-6)


def test_gradients_at_the_cell_equal_captum(models):
    model, adata = models("CountVI"), make_cells()
    of_counts, x = posterior_mean(model, adata.copy())
    u = torch.log1p(x).requires_grad_(True)
    of_log = lambda rows: of_counts(torch.expm1(rows))  # noqa: E731
    for method, oracle in (("saliency", Saliency(of_log)), ("input_x_gradient", InputXGradient(of_log))):
        found = attribute(model, adata, method=method, target=1)
        expected = np.abs(oracle.attribute(u, target=1).detach().numpy()).mean(0)
        np.testing.assert_allclose(found.varm["ig"][:, 0], expected, rtol=2e-4, atol=1e-7)
        assert found.uns["ig"]["completeness"]["error"].isna().all()


def test_effects_of_gradients_are_their_mean(models):
    found = attribute(models("CountVI"), groupby="type", method="saliency")
    table = found.uns["ig"]["by_group"]
    np.testing.assert_allclose(table["effect"], table["signed"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["CountVI", "LinearVI", "SCVI-covariates", "SCANVI"])
def test_decoded_genes_are_complete(models, name):
    model, adata = models(name), make_cells()
    adapter = adapt(model).on(adata)
    z = adapter.encode(adata=adata)[0]
    decoded = adapter.decode(z, adapter.context(np.arange(adata.n_obs)))["mean"]
    found = attribute(model, adata, target={"gene": ["gene_3", "gene_5"]}, store="layer")
    assert found.uns["ig"]["names"] == ["gene_3+gene_5"]
    change = found.layers["ig_gene_3+gene_5"].sum(1)
    of_counts, x = posterior_mean(model, adata.copy())
    start = of_counts(mean_baseline(x)).detach().numpy()
    before = adapter.decode(start, adapter.context(np.arange(adata.n_obs)))["mean"]
    expected = (decoded - before)[:, [3, 5]].sum(1)
    np.testing.assert_allclose(change, expected, atol=0.02 * np.abs(expected).max())


def module_elbo(model, adata, n_draws):
    """Evidence lower bound by the model's own loss, ``(n_draws, n_cells)``."""
    module = model.module.eval()
    tensors = next(iter(model._make_data_loader(adata=model._validate_anndata(adata), batch_size=adata.n_obs)))
    draws = []
    with torch.no_grad():
        for _ in range(n_draws):
            _, _, losses = module(tensors)
            divergence = losses.kl_local
            divergence = sum(divergence.values()) if isinstance(divergence, dict) else divergence
            reconstruction = losses.reconstruction_loss
            reconstruction = sum(reconstruction.values()) if isinstance(reconstruction, dict) else reconstruction
            draws.append(-reconstruction - divergence)
    return torch.stack(draws)


@pytest.mark.parametrize("name", ["CountVI-nb", "SCVI-covariates", "SCANVI"])
def test_elbo_is_the_loss_of_the_module(models, name, monkeypatch):
    model, adata = models(name), make_cells()
    monkeypatch.setattr("scgauge.tl._attribution_target._DRAWS", 100)
    adapter = adapt(model).on(adata)
    target = resolve_target(adapter, "elbo", np.random.default_rng(0))
    x = torch.as_tensor(adata.X.toarray())
    with torch.no_grad():
        found = target.of_data(x, adapter.context(np.arange(adata.n_obs)), adapter.encoder_network())
    draws = module_elbo(model, adata.copy(), 50)
    error = draws.std(0) * (1 / 50 + 1 / 100) ** 0.5
    assert (((found - draws.mean(0)) / error).abs() < 6).all()  # 120 cells, both sides are Monte Carlo


@pytest.mark.parametrize("name", ["CountVI-nb", "SCVI", "SCANVI"])
def test_attributions_of_the_elbo_are_complete(models, name):
    model, adata = models(name), make_cells()
    found = attribute(model, adata, target="elbo", store="layer")
    assert found.uns["ig"]["names"] == ["elbo"]
    assert found.uns["ig"]["completeness"]["error"][0] < 0.01
    assert found.uns["ig"]["randomised"]["null"][0] > 0
    adapter = adapt(model).on(adata)
    target = resolve_target(adapter, "elbo", np.random.default_rng(0))
    x = torch.as_tensor(adata.X.toarray())
    context, network = adapter.context(np.arange(adata.n_obs)), adapter.encoder_network()
    with torch.no_grad():
        change = target.of_data(x, context, network) - target.of_data(mean_baseline(x), context, network)
    change = change.numpy()
    np.testing.assert_allclose(found.layers["ig_elbo"].sum(1), change, atol=0.011 * np.abs(change).max())


def test_function_of_the_data_is_complete(models):
    model, adata = models("CountVI"), make_cells()

    def spread(x):
        return (x[:, :4] ** 2).sum(1)

    found = attribute(model, adata, target=spread, store="layer", baseline="zero", path="counts")
    counts = adata.X.toarray()
    np.testing.assert_allclose(found.layers["ig_spread"][:, :4], counts[:, :4] ** 2, rtol=1e-4)
    assert not found.layers["ig_spread"][:, 4:].any()


def test_expected_gradients_average_over_the_drawn_cells(models):
    model, adata = models("CountVI"), make_cells()
    found = attribute(model, adata, method="expected_gradients", n_references=4, store="layer", target=0)
    rows = np.random.default_rng(0).choice(np.arange(adata.n_obs), 4)
    references = adata.X.toarray()[rows]
    given = attribute(model, adata, baseline=references, store="layer", target=0)
    np.testing.assert_allclose(found.layers["ig_Z_0"], given.layers["ig_Z_0"], rtol=1e-5, atol=1e-7)
    single = [attribute(model, adata, baseline=row, store="layer", target=0).layers["ig_Z_0"] for row in references]
    np.testing.assert_allclose(found.layers["ig_Z_0"], np.mean(single, axis=0), atol=1e-3)


def test_groups_and_group_baseline(models):
    model, adata = models("CountVI"), make_cells()
    found = attribute(model, adata, groupby="type", baseline="group", store="layer", target=0)
    table = found.uns["ig"]["by_group"]
    assert list(table) == ["group", "target", "gene", "mean_abs", "signed", "effect"]
    for group, rows in table.groupby("group", observed=True):
        cells = (adata.obs["type"] == group).to_numpy()
        layer = found.layers["ig_Z_0"][cells]
        np.testing.assert_allclose(rows["mean_abs"], np.abs(layer).mean(0), rtol=1e-5)
        np.testing.assert_allclose(rows["signed"], layer.mean(0), atol=1e-6)
        counts = adata.X.toarray()[cells]
        difference = np.log1p(counts) - np.log1p(counts.sum(1, keepdims=True) * (counts.sum(0) / counts.sum()))
        slopes = [np.linalg.lstsq(d[:, None], a)[0][0] for d, a in zip(difference.T, layer.T, strict=True)]
        np.testing.assert_allclose(rows["effect"], slopes, rtol=1e-3, atol=1e-6)
        alone = attribute(model, adata[cells].copy(), store="layer", target=0)
        np.testing.assert_allclose(layer, alone.layers["ig_Z_0"], atol=2e-3)


def test_largest_attributions_of_each_cell(models, monkeypatch):
    monkeypatch.setattr("scgauge.tl._attribution_run._GENES_PER_CELL", 4)
    model = models("CountVI")
    top, all_ = (attribute(model, store=kept).layers["ig_Z_1"] for kept in ("top", "layer"))
    assert sparse.issparse(top)
    for row, full in zip(top.toarray(), all_, strict=True):
        kept = np.flatnonzero(row)
        assert set(kept) == set(np.argsort(-np.abs(full))[:4])
        np.testing.assert_allclose(row[kept], full[kept])


def test_blocks_change_nothing(models, monkeypatch):
    whole = attribute(models("SCVI-covariates"))
    monkeypatch.setattr("scgauge.tl._attribution_sums._CELLS_AT_ONCE", 17)
    pieces = attribute(models("SCVI-covariates"))
    np.testing.assert_allclose(pieces.varm["ig"], whole.varm["ig"], rtol=5e-3, atol=1e-6)


def test_more_genes_and_another_order(models):
    model, adata = models("CountVI"), make_cells()
    expected = attribute(model, adata)
    wide = make_cells(n_vars=20)
    other = wide.copy()
    other.var_names = [f"other_{i}" for i in range(20)]
    wide = anndata.concat([other, wide], axis=1, merge="first")[:, ::-1].copy()
    found = attribute(model, wide)
    table = pd.DataFrame(found.varm["ig"], index=found.var_names)
    assert table.loc[other.var_names].isna().all().all()
    np.testing.assert_allclose(table.loc[adata.var_names], expected.varm["ig"], rtol=1e-5)


def test_table_of_genes_and_shuffled_weights(models):
    found = attribute(models("CountVI"))
    table = found.uns["ig"]["top_genes"]
    values = pd.DataFrame(found.varm["ig"], index=found.var_names, columns=found.uns["ig"]["names"])
    for target, rows in table.groupby("target"):
        assert rows["gene"].tolist() == values[target].sort_values(ascending=False).index.tolist()
        np.testing.assert_allclose(rows["mean_abs"], values.loc[rows["gene"], target])
    randomised = found.uns["ig"]["randomised"]
    for target, rows in table.groupby("target"):
        null = randomised.set_index("target")["null"][target]
        np.testing.assert_allclose(np.quantile(rows["null"], 0.95), null)  # the table holds all 20 genes
    assert randomised["spearman"].abs().max() < 1
    assert (randomised["null"] > 0).all()


def test_shuffled_weights_are_compared_on_the_same_cells(models, monkeypatch):
    monkeypatch.setattr("scgauge.tl._attribution_tables._NULL_CELLS", 30)
    found = attribute(models("CountVI"), store="layer")
    cells = null_cells(120, np.random.default_rng(0).spawn(1)[0])
    table = found.uns["ig"]["top_genes"]
    for row in found.uns["ig"]["randomised"].itertuples():
        true = np.abs(found.layers[f"ig_{row.target}"][cells]).mean(0)
        shuffled = table[table["target"] == row.target].set_index("gene")["null"].loc[found.var_names]
        np.testing.assert_allclose(row.spearman, spearmanr(true, shuffled).statistic, atol=0.01)


@pytest.mark.parametrize("kind", ["bernoulli", "normal"])
def test_data_that_are_no_counts_take_the_path_of_the_input(kind):
    adata = make_cells(kind)
    model = fit(CountVI, adata.copy(), gene_likelihood=kind)
    found = attribute(model, adata, store="layer", target=0)
    assert found.uns["ig"]["params"]["path"] == "input"
    of_data, x = posterior_mean(model, adata.copy())
    change = (of_data(x) - of_data(x.mean(0, keepdim=True).expand_as(x)))[:, 0].detach().numpy()
    np.testing.assert_allclose(found.layers["ig_Z_0"].sum(1), change, atol=0.011 * np.abs(change).max())


def test_warnings(models, monkeypatch):
    model = models("CountVI")
    monkeypatch.setattr("scgauge.tl._attribution_run._TOLERANCE", 1e-12)
    monkeypatch.setattr("scgauge.tl._attribution_run._INACTIVE", 0.0)
    with pytest.warns(UserWarning, match="% of the largest change"):
        scgauge.tl.attribute(make_cells(), model, progress=False, rng=0)
    monkeypatch.setattr("scgauge.tl._attribution_run._TOLERANCE", np.inf)
    monkeypatch.setattr("scgauge.tl._attribution_run._INACTIVE", np.inf)
    with pytest.warns(UserWarning, match="hardly differ between cells"):
        scgauge.tl.attribute(make_cells(), model, progress=False, rng=0, target=[1])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"target": 3}, ValueError, "numbers from 0 to 2"),
        ({"target": "elbow"}, ValueError, "target='elbow'"),
        ({"target": {"gene": "no"}}, KeyError, "no gene"),
        ({"target": {"class": "delta"}}, TypeError, "has no classifier"),
        ({"method": "lime"}, ValueError, "method='lime'"),
        ({"path": "sqrt"}, ValueError, "path='sqrt'"),
        ({"store": "all"}, ValueError, "store='all'"),
        ({"n_steps": 0}, ValueError, "n_steps=0"),
        ({"baseline": "group"}, ValueError, "without groups"),
        ({"baseline": "zero", "method": "expected_gradients"}, ValueError, "baseline='zero'"),
        ({"baseline": np.ones(3)}, ValueError, r"shape \(3,\)"),
        ({"groupby": "no"}, KeyError, "groupby='no'"),
    ],
)
def test_bad_input_changes_nothing(models, arguments, error, match):
    adata = make_cells()
    with pytest.raises(error, match=match):
        scgauge.tl.attribute(adata, models("CountVI"), progress=False, **arguments)
    assert not adata.uns
    assert not len(adata.varm)


def test_missing_genes_are_named(models):
    with pytest.raises(ValueError, match="lacks 1 of the 20 genes of the model, for example 'gene_0'"):
        scgauge.tl.attribute(make_cells()[:, 1:].copy(), models("CountVI"))
