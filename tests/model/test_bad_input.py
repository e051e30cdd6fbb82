"""What CountVI says to data that it cannot use; nothing is written to the data before it says so."""

import numpy as np
import pytest
from cells import NETWORK, SETUP, fit, make_cells, train_quietly
from scipy import sparse

from scgauge.model import CountVI

pytestmark = pytest.mark.quick


def _build(adata, **network) -> CountVI:
    CountVI.setup_anndata(adata)
    return CountVI(adata, **(NETWORK | network))


def _with(value: float, row: int = 4, column: int = 2):
    adata = make_cells()
    x = adata.X.toarray()
    x[row, column] = value
    adata.X = sparse.csr_matrix(x)
    return adata


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        pytest.param(0.5, "non-integer", id="float"),
        pytest.param(-1.0, "negative", id="negative"),
        pytest.param(np.nan, "NaN or infinite", id="NaN"),
        pytest.param(np.inf, "NaN or infinite", id="infinite"),
        pytest.param(2.0**25, "larger than 2\\^24", id="huge"),
    ],
)
def test_entries_that_are_no_counts(value, fault, likelihood):
    with pytest.raises(ValueError, match=f"adata.X must hold counts; found 1 {fault} entries.*'cell_4', gene 'gene_2'"):
        _build(_with(value), gene_likelihood=likelihood)


def test_a_single_bad_entry_among_many_is_always_found():
    adata = make_cells(n_obs=3000, n_vars=50)
    x = adata.X.toarray()
    x[2999, 49] = 0.25
    adata.X = x
    for _ in range(3):
        with pytest.raises(ValueError, match=r"found 1 non-integer entries, the first 0.25 in cell 'cell_2999'"):
            _build(adata)


def test_empty_cell():
    adata = make_cells()
    x = adata.X.toarray()
    x[[3, 9]] = 0
    adata.X = x
    with pytest.raises(ValueError, match=r"2 cells without a single count, the first 'cell_3'.*filter_cells"):
        _build(adata)


def test_empty_gene_is_warned_of():
    adata = make_cells()
    x = adata.X.toarray()
    x[:, 5] = 0
    adata.X = x
    with pytest.warns(UserWarning, match=r"1 of 20 genes have no count in any cell.*filter_genes"):
        CountVI.setup_anndata(adata)


def test_missing_layer():
    adata = make_cells()
    adata.layers["raw"] = adata.X
    with pytest.raises(KeyError, match=r"Did not find the layer 'counts' in adata.layers; found \['raw'\]"):
        CountVI.setup_anndata(adata, layer="counts")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_key", "nowhere"),
        ("labels_key", "nowhere"),
        ("size_factor_key", "nowhere"),
        ("categorical_covariate_keys", ["nowhere"]),
        ("continuous_covariate_keys", ["age", "nowhere"]),
    ],
)
def test_missing_column(argument, value):
    adata = make_cells()
    before = adata.copy()
    with pytest.raises(KeyError, match=f"Did not find {argument}='nowhere' in adata.obs"):
        CountVI.setup_anndata(adata, **{argument: value})
    assert list(adata.obs.columns) == list(before.obs.columns)
    assert dict(adata.uns) == {}


def test_missing_values_in_a_column():
    adata = make_cells()
    adata.obs["batch"] = adata.obs["batch"].where(np.arange(120) > 2)
    with pytest.raises(ValueError, match=r"adata.obs\['batch'\] has 3 missing values; batch_key needs one"):
        CountVI.setup_anndata(adata, batch_key="batch")


def test_size_factors_that_are_not_positive():
    adata = make_cells()
    adata.obs["size_factor"] = np.where(np.arange(120) == 3, 0.0, 1.0)
    with pytest.raises(ValueError, match="has 1 size factors that are not positive"):
        CountVI.setup_anndata(adata, size_factor_key="size_factor")


def test_repeated_gene_names():
    adata = make_cells()
    adata.var_names = ["twice", "twice", *adata.var_names[2:]]
    with pytest.raises(ValueError, match="found 1 repeated, for example 'twice'. Run: adata.var_names_make_unique"):
        CountVI.setup_anndata(adata)


def test_not_an_anndata():
    with pytest.raises(TypeError, match="`adata` is ndarray; an AnnData is needed"):
        CountVI.setup_anndata(np.ones((3, 2)))


@pytest.mark.filterwarnings("ignore:Category 1 in adata.obs:UserWarning")  # scvi-tools says that one cell is few
@pytest.mark.parametrize("observed", [True, False], ids=["observed library", "latent library"])
def test_batch_of_one_cell_trains(observed):
    adata = make_cells()
    adata.obs["batch"] = np.where(np.arange(120) == 7, "lone", "b")
    model = fit(CountVI, adata, setup={"batch_key": "batch"}, use_observed_lib_size=observed)
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(float(model.get_elbo()))


def test_bernoulli_on_counts_above_one():
    with pytest.raises(
        ValueError, match=r"only 0 and 1 for gene_likelihood='bernoulli'; found \d+.0 in cell.*binarize"
    ):
        _build(_with(3.0), gene_likelihood="bernoulli")


def test_normal_on_infinite_values():
    adata = make_cells("normal")
    adata.X[1, 1] = -np.inf
    with pytest.raises(ValueError, match=r"must be finite; found -inf in cell 'cell_1', gene 'gene_1'"):
        _build(adata, gene_likelihood="normal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_latent": 0}, "n_latent=0 was given; an integer of at least 1"),
        ({"n_hidden": 2.5}, "n_hidden=2.5 was given"),
        ({"n_layers": 0}, "n_layers=0 was given"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0 was given"),
        ({"gene_likelihood": "gauss"}, "gene_likelihood='gauss' was given; choose from"),
        ({"dispersion": "gene-label"}, "dispersion='gene-label' was given; choose from"),
        ({"use_batch_norm": "all"}, "use_batch_norm='all' was given; choose from"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        _build(make_cells(), **arguments)


def test_no_library_without_counts():
    with pytest.raises(ValueError, match="gene_likelihood='normal' has no library; leave"):
        _build(make_cells("normal"), gene_likelihood="normal", use_observed_lib_size=False)
    adata = make_cells("bernoulli")
    CountVI.setup_anndata(adata, size_factor_key="size_factor")
    with pytest.raises(ValueError, match="but size_factor_key='size_factor' was registered"):
        CountVI(adata, gene_likelihood="bernoulli", **NETWORK)


def test_untrained_model_has_no_latents():
    with pytest.raises(RuntimeError, match="untrained model"):
        _build(make_cells()).get_latent_representation()


def test_unseen_batch_is_named_with_the_way_out():
    model = fit(CountVI, make_cells())
    query = make_cells(seed=1)
    query.obs["batch"] = "b9"
    with pytest.raises(
        ValueError, match=r"\['b9'\], which the model has not seen; it knows \['b1', 'b2'\].*load_query"
    ):
        model.get_latent_representation(query)
    assert not [name for name in query.obs if name.startswith("_scvi")]


def test_query_without_a_registered_column():
    model = fit(CountVI, make_cells())
    query = make_cells(seed=1)
    del query.obs["donor"]
    with pytest.raises(KeyError, match="Did not find 'donor' in adata.obs, which the model was set up with"):
        model.get_latent_representation(query)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        pytest.param([f"other_{i}" for i in range(20)], "lack 20 of the 20 genes of the model", id="other genes"),
        pytest.param(
            [f"gene_{i}" for i in range(19)] + ["x"], "lack 1 of the 20 genes.*'gene_19'", id="one gene differs"
        ),
        pytest.param([f"gene_{19 - i}" for i in range(20)], "with another order. Run: adata = adata", id="order"),
    ],
)
def test_query_with_different_genes(genes, message):
    model = fit(CountVI, make_cells())
    query = make_cells(seed=1)
    query.var_names = genes
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(query)


def test_query_with_more_genes():
    model = fit(CountVI, make_cells())
    with pytest.raises(ValueError, match="with 5 further genes"):
        model.get_latent_representation(make_cells(n_vars=25))


def test_query_that_is_no_count_matrix():
    model = fit(CountVI, make_cells())
    with pytest.raises(ValueError, match="must hold counts; found 1 non-integer"):
        model.get_latent_representation(_with(1.5))


@pytest.mark.filterwarnings("ignore:Category . in adata.obs:UserWarning")  # scvi-tools says that one cell is few
def test_one_cell_is_embedded():
    model = fit(CountVI, make_cells())
    query = make_cells(seed=1)[:1].copy()
    assert model.get_latent_representation(query).shape == (1, 3)


@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix is formatted as CSR:UserWarning")
@pytest.mark.parametrize(
    "kind",
    [sparse.csr_array, sparse.csc_matrix, lambda x: x.toarray(), lambda x: x.astype(np.int64)],
    ids=["csr_array", "csc_matrix", "dense", "integers"],
)
def test_every_matrix_kind_gives_the_same_model(kind):
    adata, reference = make_cells(), fit(CountVI, make_cells())
    adata.X = kind(adata.X)
    model = fit(CountVI, adata)
    np.testing.assert_allclose(
        model.get_latent_representation(), reference.get_latent_representation(), rtol=1e-5, atol=1e-6
    )


def test_view_is_named_at_setup_and_taken_as_query():
    with pytest.raises(ValueError, match="is a view of another AnnData.*adata = adata.copy"):
        CountVI.setup_anndata(make_cells()[:50])
    model = fit(CountVI, make_cells())
    expected = model.get_latent_representation(make_cells(seed=1))[:50]
    found = model.get_latent_representation(make_cells(seed=1)[:50])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_fortran_order_is_taken():
    adata = make_cells()
    adata.X = np.asfortranarray(adata.X.toarray())
    assert fit(CountVI, adata).get_latent_representation().shape == (120, 3)


def test_backed_file_is_taken(tmp_path):
    adata = make_cells()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    import anndata

    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    model = fit(CountVI, backed)
    assert np.isfinite(model.get_latent_representation()).all()
    expected = model.get_latent_representation(make_cells())
    np.testing.assert_allclose(model.get_latent_representation(), expected, rtol=1e-6)


def test_failed_construction_writes_nothing_but_the_registration():
    adata = _with(0.5)
    CountVI.setup_anndata(adata, **SETUP)
    before = adata.copy()
    with pytest.raises(ValueError, match="non-integer"):
        CountVI(adata)
    assert list(adata.obs.columns) == list(before.obs.columns)
    assert set(adata.uns) == set(before.uns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"z": np.zeros((2, 4)), "library_size": 1.0}, "finite \\(n_points, 3\\) array"),
        ({"z": np.full((2, 3), np.nan), "library_size": 1.0}, "finite \\(n_points, 3\\) array"),
        ({"z": np.zeros((2, 3))}, "`library_size` is missing"),
        ({"z": np.zeros((2, 3)), "library_size": -1.0}, "positive and finite"),
        ({"z": np.zeros((2, 3)), "library_size": 1.0}, r"`batch` is missing; choose from \['b1', 'b2'\]"),
        ({"z": np.zeros((2, 3)), "library_size": 1.0, "batch": "b7"}, "'b7' is not a category of 'batch'"),
        ({"z": np.zeros((2, 3)), "library_size": 1.0, "batch": "b1"}, r"`covariates\['donor'\]` is missing"),
        (
            {"z": np.zeros((2, 3)), "library_size": 1.0, "batch": "b1", "covariates": {"donor": "d1"}},
            r"continuous covariates \['age'\] are missing",
        ),
    ],
)
def test_decode_asks_for_what_the_decoder_reads(arguments, message):
    model = fit(CountVI, make_cells())
    with pytest.raises(ValueError, match=message):
        model.decode(**arguments)


def test_training_needs_an_anndata_or_a_registry():
    with pytest.raises(ValueError, match="adata or registry must be provided"):
        CountVI()


def test_diverged_training_stops():
    model = _build(make_cells())
    with pytest.raises(RuntimeError, match=r"The training loss is not finite in epoch \d .learning rate 1e.30.. Train"):
        train_quietly(model, plan_kwargs={"lr": 1e30}, max_epochs=5)
