"""LDVAE against scvi-tools' LDVAE with the same weights, and its constraints."""

import numpy as np
import pytest
import torch
from oracles.linear_scvi_weights import copy_linear_weights
from scvi.module import LDVAE as TheirLDVAE

from scgauge.module import LDVAE

pytestmark = pytest.mark.quick

N_CELLS, N_GENES, N_LATENT = 40, 30, 4
LIKELIHOODS = ["zinb", "nb", "poisson", "bernoulli", "normal"]
PRIOR = {"library_log_means": np.array([[3.0, 3.1, 3.2]]), "library_log_vars": np.array([[0.1, 0.2, 0.3]])}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        yield


def minibatch(n_batch: int = 3, kind: str = "nb") -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.poisson(1.5, (N_CELLS, N_GENES)).astype(np.float32)
    if kind == "bernoulli":
        x = (x > 0).astype(np.float32)
    return {
        "X": torch.tensor(x),
        "batch": torch.tensor(rng.integers(0, n_batch, (N_CELLS, 1))),
        "labels": torch.zeros(N_CELLS, 1, dtype=torch.long),
    }


def prior(n_batch: int) -> dict[str, np.ndarray]:
    return {key: value[:, :n_batch] for key, value in PRIOR.items()}


def _elbo(module, tensors):
    torch.random.default_generator.manual_seed(1)
    losses = module(tensors)[2]
    return losses.dict_sum(losses.reconstruction_loss).detach() + sum(k.detach() for k in losses.kl_local.values())


@pytest.mark.parametrize("observed", [True, False], ids=["observed library", "latent library"])
@pytest.mark.parametrize("n_batch", [1, 3])
@pytest.mark.parametrize("batch_norm", [True, False], ids=["batch norm", "no batch norm"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch"])
@pytest.mark.parametrize("gene_likelihood", ["zinb", "nb", "poisson"])
def test_elbo_and_loadings_equal_those_of_linear_scvi(gene_likelihood, dispersion, batch_norm, n_batch, observed):
    shared = {"n_latent": N_LATENT, "n_hidden": 16, "dispersion": dispersion, "gene_likelihood": gene_likelihood}
    shared |= {"n_batch": n_batch, "use_observed_lib_size": observed} | prior(n_batch)
    theirs = TheirLDVAE(N_GENES, use_batch_norm=batch_norm, **shared)
    ours = LDVAE(N_GENES, use_batch_norm="both" if batch_norm else "encoder", intercept=False, **shared)
    tensors = minibatch(n_batch)
    theirs.train()(tensors)  # running statistics of batch norm other than those of the start
    theirs.eval()
    ours.eval()
    copy_linear_weights(theirs, ours)
    torch.testing.assert_close(_elbo(ours, tensors), _elbo(theirs, tensors), rtol=1e-5, atol=0)
    np.testing.assert_allclose(ours.get_loadings(), theirs.get_loadings(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("constraint", ["none", "non_negative", "mask", "l1"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("gene_likelihood", LIKELIHOODS)
def test_every_parameter_has_a_gradient(gene_likelihood, dispersion, constraint):
    options = {
        "none": {},
        "non_negative": {"non_negative": True},
        "mask": {"mask": np.random.default_rng(1).random((N_GENES, N_LATENT)) < 0.5},
        "l1": {"l1": 0.1},
    }[constraint]
    module = LDVAE(
        N_GENES, n_batch=3, n_latent=N_LATENT, gene_likelihood=gene_likelihood, dispersion=dispersion, **options
    )
    module(minibatch(kind=gene_likelihood))[2].loss.backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


def test_the_decoder_is_the_linear_formula():
    module = LDVAE(N_GENES, n_batch=3, n_continuous_cov=2, n_cats_per_cov=[2], n_latent=N_LATENT, use_batch_norm="both")
    tensors = minibatch() | {
        "extra_continuous_covs": torch.randn(N_CELLS, 2),
        "extra_categorical_covs": torch.randint(0, 2, (N_CELLS, 1)),
    }
    module.train()(tensors)
    module.eval()
    head = module.decoder.scale
    with torch.no_grad():
        inference, generative, _ = module(tensors)
        at_zero = head(torch.zeros(1, N_LATENT + 2), [torch.zeros(1, dtype=torch.long)] * 2)
        intercept = at_zero[0] - head.effects(0)[:, 0] - head.effects(1)[:, 0]
    z = inference["z"].detach().double().numpy()
    inputs = np.column_stack((z, tensors["extra_continuous_covs"].numpy()))
    logits = intercept.double().numpy() + inputs @ head.loadings().double().numpy().T
    logits += head.effects(0).double().numpy().T[tensors["batch"].ravel()]
    logits += head.effects(1).double().numpy().T[tensors["extra_categorical_covs"].ravel()]
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(generative["px"].scale.detach().numpy(), share, rtol=2e-5)


def _train(module, tensors, steps=30, lr=0.05):
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, weight_decay=1e-6)
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        module(tensors)[2].loss.backward()
        optimizer.step()
    return module.eval()


def test_gradients_and_loadings_outside_the_mask_are_exactly_zero():
    mask = np.random.default_rng(1).random((N_GENES, N_LATENT)) < 0.3
    module = LDVAE(N_GENES, n_batch=3, n_latent=N_LATENT, mask=mask)
    module(minibatch())[2].loss.backward()
    gradient = module.decoder.scale.regression.linear.weight.grad.numpy()
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).all()
    _train(module, minibatch())
    loadings = module.get_loadings()
    assert (loadings[~mask] == 0).all()
    assert (loadings[mask] != 0).all()


def test_non_negative_loadings():
    module = _train(LDVAE(N_GENES, n_batch=3, n_latent=N_LATENT, non_negative=True), minibatch(), steps=300)
    loadings = module.get_loadings()
    assert loadings.min() == 0  # some are at the border, none beyond
    assert (loadings > 0).mean() > 0.1
    used = module.decoder.scale.weight().detach().numpy()[:, :N_LATENT]
    np.testing.assert_array_equal(used, loadings)
    assert not module.has_free_constant


def test_l1_shrinks_loadings_and_is_no_part_of_the_elbo():
    sums = []
    for l1 in (0.0, 0.3):
        torch.random.default_generator.manual_seed(0)
        module = _train(LDVAE(N_GENES, n_batch=3, n_latent=N_LATENT, l1=l1), minibatch(), steps=150, lr=0.02)
        sums.append(np.abs(module.get_loadings()).sum())
    assert sums[1] < 0.1 * sums[0]
    losses = module(minibatch())[2]
    elbo = losses.reconstruction_loss["reconstruction_loss"] + losses.kl_local["kl_divergence_z"]
    assert float(losses.extra_metrics["l1_penalty"]) == pytest.approx(0.3 * sums[1], rel=1e-5)
    assert float(losses.loss.detach()) == pytest.approx(float(elbo.detach().mean()) + 0.3 * sums[1], rel=1e-5)


def test_a_single_batch_has_no_effect_of_its_own():
    module = LDVAE(N_GENES, n_latent=N_LATENT)
    _train(module, minibatch(1))
    assert not module.decoder.scale.effects(0).any()


def test_nothing_is_built_and_thrown_away():
    names = {name for name, _ in LDVAE(N_GENES, n_latent=N_LATENT, gene_likelihood="nb").named_parameters()}
    assert {name for name in names if name.startswith("decoder")} == {
        "decoder.scale.regression.linear.weight",
        "decoder.scale.regression.linear.bias",
        "decoder.scale.regression.effects.0.weight",
    }
