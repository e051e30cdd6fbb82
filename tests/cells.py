"""Small simulated cells and trained models for tests; plain numpy, nothing of scgauge but the model itself."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scvi
from anndata import AnnData
from scipy import sparse

LIKELIHOODS = ["zinb", "nb", "poisson", "bernoulli", "normal"]
SETUP = {
    "batch_key": "batch",
    "categorical_covariate_keys": ["donor"],
    "continuous_covariate_keys": ["age"],
}
NETWORK = {"n_latent": 3, "n_hidden": 16}


def make_cells(kind: str = "counts", n_obs: int = 120, n_vars: int = 20, seed: int = 0) -> AnnData:
    """Cells of two types in two batches, with a covariate of each kind; `kind` may be a likelihood."""
    rng = np.random.default_rng(seed)
    types = rng.choice(["alpha", "beta/gamma", "delta"], n_obs)
    profiles = {name: rng.gamma(2, 1, n_vars) for name in np.unique(types)}
    rate = np.stack([profiles[name] for name in types]) * rng.gamma(20, 0.05, (n_obs, 1))
    x = rng.poisson(rng.gamma(3, rate / 3)).astype(np.float32)
    x[:, 0] += 1  # no empty cell
    if kind == "bernoulli":
        x = (x > 1).astype(np.float32)
    elif kind == "normal":
        x = (np.log1p(x) - 1).astype(np.float32)
    adata = AnnData(x if kind == "normal" else sparse.csr_matrix(x))
    adata.obs_names = [f"cell_{index}" for index in range(n_obs)]
    adata.var_names = [f"gene_{index}" for index in range(n_vars)]
    adata.obs["type"] = types
    adata.obs["batch"] = rng.choice(["b1", "b2"], n_obs)
    adata.obs["donor"] = rng.choice(["d1", "d2", "d3"], n_obs)
    adata.obs["age"] = rng.normal(size=n_obs)
    adata.obs["size_factor"] = x.sum(1) / x.sum(1).mean() if kind == "counts" else 1.0
    return adata


def stored_as(kind: str, adata: AnnData, path) -> AnnData:
    """The same cells with a matrix that is not in memory: in a file at `path` or, as "dask", in sparse blocks."""
    if kind == "backed":
        adata.write_h5ad(path)
        return anndata.read_h5ad(path, backed="r")
    array = pytest.importorskip("dask.array")
    cells = adata.copy()
    cells.X = array.from_array(adata.X.toarray(), chunks=(50, -1)).map_blocks(sparse.csr_matrix)
    return cells


def train_quietly(model, **arguments):
    """Train for a few epochs without bars; returns the model."""
    model.train(**({"max_epochs": 3, "enable_progress_bar": False} | arguments))
    return model


def fit(model_class, adata: AnnData, *, setup: dict | None = None, seed: int = 0, epochs: int = 3, **network):
    """Set up, build and train a model with scvi-tools' seed set."""
    scvi.settings.seed = seed
    model_class.setup_anndata(adata, **(SETUP if setup is None else setup))
    return train_quietly(model_class(adata, **(NETWORK | network)), max_epochs=epochs)
