import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scgauge
from scgauge.tl._fidelity import PROPERTIES

learning_curve = scgauge.tl.learning_curve
OPTIONS = {"rng": 0, "progress": False, "n_top_genes": 8}


def real(n=600):
    return scgauge.datasets.simulate_counts(n, 12, rng=0)


def bootstrap(cells, seed):
    """A generator of cells that only repeats what it has seen: better with more cells."""
    rows = np.random.default_rng(seed).integers(cells.n_obs, size=420)
    return AnnData(cells.X[rows], var=cells.var)


@pytest.fixture(scope="module", autouse=True)
def _quick_scores():
    """Leave out the classifiers, which take most of the time; the scores have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        kept = tuple(item for item in PROPERTIES if item.name != "classifier")
        patch.setattr("scgauge.tl._fidelity.PROPERTIES", kept)
        yield


@pytest.fixture(scope="module")
def table(_quick_scores):
    return learning_curve(real(), fit=bootstrap, sizes=[15, 400], n_seeds=2, **OPTIONS)


def test_more_cells_score_better_between_the_same_floor_and_ceiling(table):
    assert table.groupby("n_obs")["seed"].unique().map(list).to_dict() == {15: [0, 1], 400: [0, 1]}
    joint = table[(table["family"] == "joint") & table["scaled"].notna()]
    means = joint.groupby("n_obs")["scaled"].mean()
    assert means[400] < 0.2 < means[15]
    for column in ("floor", "ceiling"):
        assert (table.dropna(subset=column).groupby(["property", "statistic"])[column].nunique() == 1).all()


def test_samples_are_nested_and_seeds_differ():
    seen = {}

    def spy(cells, seed):
        seen[cells.n_obs, seed] = set(cells.obs_names)
        return bootstrap(cells, seed)

    learning_curve(real(), fit=spy, sizes=[30, 60], n_seeds=2, **OPTIONS)
    assert seen[30, 0] < seen[60, 0]
    assert seen[30, 0] != seen[30, 1]


def test_an_interrupted_study_goes_on(table, tmp_path):
    path = tmp_path / "curve.csv"
    calls = []

    def interrupted(cells, seed):
        calls.append((cells.n_obs, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return bootstrap(cells, seed)

    arguments = {"sizes": [15, 400], "n_seeds": 2, "path": path, **OPTIONS}
    with pytest.raises(KeyboardInterrupt):
        learning_curve(real(), fit=interrupted, **arguments)
    assert len(pd.read_csv(path)[["n_obs", "seed"]].drop_duplicates()) == 2
    result = learning_curve(real(), fit=interrupted, **arguments)
    assert calls == [(15, 0), (15, 1), (400, 0), (400, 0), (400, 1)]
    pd.testing.assert_frame_equal(result, table, check_dtype=False, rtol=1e-12)


def test_a_model_is_refitted_and_a_function_may_return_one():
    adata = real(400)
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=8)
    model.train(1, enable_progress_bar=False)
    before = list(adata.uns), list(adata.obs.columns)
    by_model = learning_curve(adata, fit=model, sizes=[60], n_seeds=1, **OPTIONS)

    def by_hand(cells, seed):
        scgauge.model.CountVI.setup_anndata(cells)
        fitted = scgauge.model.CountVI(cells, n_latent=2, n_hidden=8)
        fitted.train(1, enable_progress_bar=False)
        return fitted

    pd.testing.assert_frame_equal(by_model, learning_curve(adata, fit=by_hand, sizes=[60], n_seeds=1, **OPTIONS))
    assert (list(adata.uns), list(adata.obs.columns)) == before


def test_default_sizes_are_on_a_log_scale():
    from scgauge.tl._learning_curve import _sizes

    assert _sizes(None, 5000) == [50, 126, 315, 792, 1991, 5000]
    assert _sizes(None, 30) == [30]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"fit": 3}, TypeError, "`fit` is int; a trained model of scgauge is needed"),
        ({"sizes": [1, 50]}, ValueError, "must be from 2 to the 420 training cells"),
        ({"sizes": [500]}, ValueError, r"sizes=\[500\] must be"),
        ({"n_seeds": 0}, ValueError, "n_seeds=0 was given"),
        ({"holdout": 1.5}, ValueError, "holdout=1.5 was given"),
    ],
)
def test_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        learning_curve(real(), **{"fit": bootstrap, "sizes": [50], **OPTIONS, **arguments})


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="lacks the columns"):
        learning_curve(real(), fit=bootstrap, sizes=[50], path=path, **OPTIONS)


@pytest.mark.slow
def test_processes_change_nothing(table):
    result = learning_curve(real(), fit=bootstrap, sizes=[15, 400], n_seeds=2, n_jobs=2, **OPTIONS)
    result = result[result["property"] != "classifier"].reset_index(drop=True)  # other processes score all
    pd.testing.assert_frame_equal(result, table)


def test_a_kill_while_writing_leaves_whole_refits_only(table, tmp_path, monkeypatch):
    path = tmp_path / "study.csv"
    write, calls = pd.DataFrame.to_csv, []

    def stop_half_way(self, target, *args, **kwargs):
        calls.append(target)
        if len(calls) > 2:
            with open(target, "w") as file:  # noqa: PTH123 - what a killed process leaves
                file.write("n_obs,seed,fam")
            raise KeyboardInterrupt
        return write(self, target, *args, **kwargs)

    monkeypatch.setattr(pd.DataFrame, "to_csv", stop_half_way)
    with pytest.raises(KeyboardInterrupt):
        learning_curve(real(), fit=bootstrap, sizes=[15, 400], n_seeds=2, path=path, **OPTIONS)
    monkeypatch.undo()
    assert len(pd.read_csv(path).groupby(["n_obs", "seed"])) == 2
    resumed = learning_curve(real(), fit=bootstrap, sizes=[15, 400], n_seeds=2, path=path, **OPTIONS)
    pd.testing.assert_frame_equal(resumed, table, check_dtype=False)


@pytest.mark.parametrize(("row", "column"), [("15,zero,0.1", "seed"), ("1.5,0,0.1", "n_obs"), ("15,0,much", "value")])
def test_columns_of_other_types_are_named(row, column, tmp_path):
    path = tmp_path / "study.csv"
    path.write_text(f"n_obs,seed,value\n{row}\n")
    with pytest.raises(ValueError, match=f"study.csv is damaged: the column '{column}' must hold"):
        learning_curve(real(), fit=bootstrap, sizes=[15], path=path, **OPTIONS)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "study.csv"
    path.write_bytes(b"\x00\xff\x93" * 50)
    with pytest.raises(ValueError, match="is damaged or no CSV file|is not a file of this function"):
        learning_curve(real(), fit=bootstrap, sizes=[15], path=path, **OPTIONS)
