"""The contract tests see what they are meant to see."""

import numpy as np
import pandas as pd
import pytest
from contract.calls import cells
from contract.public import documentation, documented, parameters, written_keys
from contract.state import contents, keys, process_state


def example(adata, *, key_added="mine", copy=False):
    """Write something.

    Parameters
    ----------
    adata
        Data.
    key_added, copy
        As everywhere.

    Returns
    -------
    Returns ``None`` if ``copy=False``. Sets ``adata.uns["in_prose"]`` and the following fields:

    ``adata.obs[f"{key_added}_score"]`` : :class:`pandas.Series`
        A number.
    ``adata.uns[key_added]`` : :class:`dict`
        ``adata.uns["not_an_entry"]`` is not written.
    ``adata.obsm['X_fixed']``, ``adata.varm['both']`` : :class:`numpy.ndarray`
        Two arrays.
    ``adata.obs["sentence"]`` is not an entry.
    ``synthetic.X`` : :class:`numpy.ndarray`
        Of another object.

    Raises
    ------
    ValueError
        Never: ``adata.obs["raised"]``.
    """


def test_written_keys_are_read_from_the_entries():
    expected = {("obs", "mine_score"), ("uns", "mine"), ("obsm", "X_fixed"), ("varm", "both")}
    assert written_keys(example, "adata", "mine") == expected


def test_documented_parameters_may_share_an_entry():
    assert documented(documentation(example)["Parameters"]) == parameters(example)


def set_column(adata, key, value):
    adata.obs[key] = value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda a: a.X.data.__setitem__(0, 99), id="X-in-place"),
        pytest.param(lambda a: set_column(a, "new", 1), id="obs"),
        pytest.param(lambda a: set_column(a, "group", a.obs["group"].cat.codes.to_numpy()), id="categories"),
        pytest.param(lambda a: a.obsm["X_latent"].__setitem__((0, 0), np.nan), id="obsm-in-place"),
        pytest.param(lambda a: a.uns["nested"]["table"].__setitem__("x", 5), id="uns-table"),
        pytest.param(lambda a: a.uns["nested"].__setitem__("list", [1, 3]), id="uns-list"),
        pytest.param(lambda a: setattr(a, "obs_names", [f"other{i}" for i in range(a.n_obs)]), id="names"),
    ],
)
def test_a_change_is_seen(change):
    adata = cells()
    adata.uns["nested"] = {"table": pd.DataFrame({"x": [1, 2]}), "list": [1, 2]}
    before = contents(adata)
    assert contents(adata.copy()) == before
    change(adata)
    assert contents(adata) != before


def test_new_keys_are_seen():
    adata = cells()
    before = keys(adata)
    adata.varm["loadings"] = np.ones((adata.n_vars, 2))
    assert keys(adata) - before == {("varm", "loadings")}


def test_a_draw_from_the_global_state_is_seen():
    before = process_state()
    np.random.random()  # noqa: NPY002 - the fault that the contract tests look for
    assert process_state()["numpy"] != before["numpy"]
