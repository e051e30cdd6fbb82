"""Models whose training is compared between devices: the CPU, one that is only pretended, a GPU."""

from __future__ import annotations

import numpy as np
import scvi
from cells import NETWORK, make_cells, train_quietly

import scgauge

MODELS = {
    "zinb": ("CountVI", {"gene_likelihood": "zinb", "dispersion": "gene-batch"}),
    "poisson": ("CountVI", {"gene_likelihood": "poisson", "use_observed_lib_size": False}),
    "normal": ("CountVI", {"gene_likelihood": "normal"}),
    "bernoulli": ("CountVI", {"gene_likelihood": "bernoulli"}),
    "LinearVI": ("LinearVI", {}),
    "SupervisedVI": ("SupervisedVI", {"basis": "X_flat"}),
    "Autoencoder": ("Autoencoder", {}),
    "snapshots": ("ODEVI", {"dynamics": "linear"}),
    "individuals": ("ODEVI", {"dynamics": "linear"}),
}
#: Cases whose steps have to know how many pairs of visits there are.
COUNTING = {"individuals"}
SETUP = {
    "Autoencoder": {},
    "snapshots": {"time_key": "time"},
    "individuals": {"time_key": "visit", "subject_key": "subject"},
}


def make_model(case):
    """Return an untrained model of a case."""
    name, arguments = MODELS[case]
    adata = make_cells(case if case in {"normal", "bernoulli"} else "counts")
    first = adata.X[:, :2]
    adata.obsm["X_flat"] = first if isinstance(first, np.ndarray) else first.toarray()
    adata.obs["time"] = np.arange(adata.n_obs) % 3.0
    adata.obs["subject"] = [f"s{index // 4}" for index in range(adata.n_obs)]
    adata.obs["visit"] = np.arange(adata.n_obs) % 4 + np.random.default_rng(0).uniform(0, 0.5, adata.n_obs)
    cls = getattr(scgauge.model, name)
    cls.setup_anndata(adata, **SETUP.get(case, {"batch_key": "batch"}))
    scvi.settings.seed = 0
    return cls(adata, **({"n_hidden": 16} if name == "SupervisedVI" else NETWORK), **arguments)


def train_case(case, **options):
    """Return a model of a case after two epochs on the CPU; `options` may say otherwise."""
    model = make_model(case)
    if case == "snapshots":
        options["plan_kwargs"] = {"n_flow_steps": 10}
    usual = {"max_epochs": 2, "batch_size": 32, "train_size": 0.9, "validation_size": 0.1, "accelerator": "cpu"}
    train_quietly(model, **usual | options)
    return model
