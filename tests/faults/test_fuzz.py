"""Every public function and model meets every fault of its inputs with a result or with an error of its own."""

import random

import numpy as np
import pytest
from anndata import AnnData
from contract.calls import cells
from contract.public import names
from faults.fault import Fault
from faults.model_calls import RECIPES
from faults.targets import Target, quick_scores, targets
from faults.verdict import attempt, clean

import scgauge

pytestmark = pytest.mark.quick

#: Functions of which single calls take long, and models, whose training does: tried in the slow study alone.
LONG = ("tl.attrib", "tl.augm", "tl.compare_sources", "tl.distribution", "tl.dream", "tl.held", "tl.impute", "tl.imput")
LONG += ("tl.latent_arith", "tl.learning", "tl.log_linear", "tl.pattern_map", "tl.single", "tl.synth", "tl.transform")
LONG += ("tl.memor", "tl.embed", "pl.", "metrics.decode", "metrics.homog", "metrics.excess", "model.")
SHORT = [name for name in targets() if not name.startswith(LONG)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A fault that is taken for the name of a file is written where it goes away."""
    monkeypatch.chdir(tmp_path)


def test_everything_public_is_tried():
    assert set(names("metrics", "pl", "pp", "tl")) <= set(targets())
    assert {name.partition(" ")[0] for name in RECIPES} == set(scgauge.model.__all__)


def failures(name, cases):
    target = targets()[name]
    expected = clean(target)
    found = [(slot, fault.name, attempt(target, slot, fault, expected)) for slot, fault in cases]
    return [(str(slot), fault, outcome.detail) for slot, fault, outcome in found if outcome.kind == "failure"]


@pytest.mark.parametrize("name", random.Random(0).sample(SHORT, 24))
def test_a_sample_of_faults(name):
    cases = list(targets()[name].faults())
    assert failures(name, random.Random(name).sample(cases, min(6, len(cases)))) == []


#: Faults that the study of all of them found, one of each kind.
FOUND = [
    ("model.Autoencoder.get_interpolation", "start", "an object"),
    ("model.CountVI.get_marginal_ll", "n_mc_samples", "zero"),
    ("model.CountVI.setup_anndata", 0, "obs['batch']: numbers and text"),
    ("model.CountVI.setup_anndata", "categorical_covariate_keys", "an object"),
    ("model.DeepBoltzmannMachine.train", "n_hidden", "None"),
    ("model.ODEVI.get_trajectory_groups", 0, "not an AnnData"),
    ("pl.attribution", 0, "var names: two equal"),
    ("pl.attribution", "targets", "no items"),
    ("pl.augmentation_gain", 0, "added: missing"),
    ("pl.cell_quality", "metrics", "two axes"),
    ("pl.dream", 0, "var names: two equal"),
    ("pl.groups", 0, "the class"),
    ("pl.imputation_score", 0, "method: missing"),
    ("pl.learning_curve", 0, "property: numbers"),
    ("pl.patterns", 0, "latent: missing"),
    ("pl.signatures", "nodes", "no items"),
    ("pl.single_gene_inference", 0, "no rows"),
    ("pl.velocity_field", 0, "obsm['velocity']: one dimension"),
    ("tl.trajectory", 1, "the class"),
    ("tl.transformation_recovery", 0, "X: negative"),
    ("tl.transformation_recovery", "distances", "two axes"),
    ("tl.velocity", 1, "the class"),
]


@pytest.mark.parametrize(("name", "slot", "fault"), FOUND)
def test_faults_that_were_found(name, slot, fault):
    cases = [case for case in targets()[name].faults() if (case[0], case[1].name) == (slot, fault)]
    assert len(cases) == 1
    assert failures(name, cases) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", targets())
def test_all_faults(name):
    with quick_scores():
        assert failures(name, targets()[name].faults()) == []


def _index(adata: AnnData) -> None:
    return [][adata.n_obs]


def _foreign(adata: AnnData) -> None:
    return np.linalg.inv(np.zeros((2, 3))) + adata.n_obs


def _writes_first(adata: AnnData) -> None:
    adata.obs["new"] = 1
    scgauge.tl.log_odds_ratio(adata, layer="nowhere")


def _not_finite(adata: AnnData) -> float:
    return float(np.asarray(adata.X.sum(axis=0)).min() ** -1.0)


def _works(adata: AnnData) -> float:
    return float(adata.X.sum())


def _refuses(adata: AnnData) -> None:
    scgauge.tl.log_odds_ratio(adata, layer="nowhere")


@pytest.mark.parametrize(
    ("function", "fault", "kind", "detail"),
    [
        pytest.param(_index, Fault("none", lambda x: x), "failure", "foreign error, IndexError", id="index"),
        pytest.param(_foreign, Fault("none", lambda x: x), "failure", "foreign error, LinAlgError", id="foreign"),
        pytest.param(_writes_first, Fault("none", lambda x: x), "failure", "changed ", id="writes first"),
        pytest.param(_refuses, Fault("none", lambda x: x), "error", "KeyError", id="own error"),
        pytest.param(_works, Fault("none", lambda x: x, same=True), "works", "", id="works"),
        pytest.param(
            _works,
            Fault("scaled", lambda x: AnnData(x.X * 1.1), same=True),
            "failure",
            "another result",
            id="another result",
        ),
        pytest.param(
            _not_finite, Fault("zero", lambda x: AnnData(x.X * 0)), "failure", "not finite, 1 values", id="not finite"
        ),
    ],
)
def test_the_judge_sees_what_is_wrong(function, fault, kind, detail):
    target = Target(f"test.{function.__name__}", function, lambda: (cells(),))
    works = Target("test.works", _works, lambda: (cells(),))
    expected = clean(target if function in (_not_finite, _works) else works)
    outcome = attempt(target, 0, fault, expected)
    assert (outcome.kind, outcome.detail.startswith(detail)) == (kind, True)
