import numpy as np
import pytest
import scvi
from sklearn.decomposition import PCA

import scgauge
from scgauge.tl._latent_steps import check_step, take_step

QUIET = {"rng": 0, "progress": False}


@pytest.fixture(scope="module")
def trained():
    adata = scgauge.datasets.simulate_counts(240, 30, n_latent=2, n_groups=3, library_size=3000, rng=0)
    scvi.settings.seed = 0
    scgauge.model.CountVI.setup_anndata(adata)
    model = scgauge.model.CountVI(adata, n_latent=2, n_hidden=32, gene_likelihood="nb")
    model.train(max_epochs=15, enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def linear():
    """Continuous data and a decoder that is linear in the latent points."""
    adata = scgauge.datasets.simulate_counts(150, 20, n_latent=2, n_groups=3, rng=0)
    adata.X = np.log1p(adata.X.toarray())
    scvi.settings.seed = 0
    scgauge.model.LinearVI.setup_anndata(adata)
    model = scgauge.model.LinearVI(adata, n_latent=2, n_hidden=16, gene_likelihood="normal")
    model.train(max_epochs=60, plan_kwargs={"lr": 1e-2}, enable_progress_bar=False)
    return model


def transform(model, **arguments):
    arguments = {"groupby": "group", "transformations": {"group_0": {"rotate": 30.0}}} | QUIET | arguments
    return scgauge.tl.transform_latent(model.adata, model, **arguments)


def one_step(z, step, center=(0.0, 0.0), plane=(0, 1)):
    return take_step(np.asarray(z, dtype=float), check_step(step, "g"), np.asarray(center), list(plane), "g")


def test_each_operation_in_closed_form():
    z = np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(one_step(z, {"rotate": 90}), [[0, 1], [-2, 0]], atol=1e-12)
    np.testing.assert_allclose(one_step(z, {"rotate": 90}, center=(1.0, 0.0)), [[1, 0], [-1, -1]], atol=1e-12)
    np.testing.assert_allclose(one_step(z, {"spread": 3}, center=(0.0, 1.0)), [[3, -2], [0, 4]])
    np.testing.assert_allclose(one_step(z, {"shift": [1, -1]}), [[2, -1], [1, 1]])
    np.testing.assert_allclose(one_step(z, {"push": {"a": 3, "b": 6}}), [[1 + 3 / 7, 0.5], [0.5, 2 + 3 / 8]])
    np.testing.assert_allclose(one_step(z, {"move_to": {"target": [5, 5], "share": 0.2}}), [[1.8, 1], [1, 2.6]])
    divided = one_step(z, {"divide": {"height": 5, "steepness": 7, "level": 0.5}})
    logistic = 1 / (1 + np.exp(-7 * (z[:, 1] - 0.5)))
    np.testing.assert_allclose(divided, np.column_stack([z[:, 0], z[:, 1] + 5 * (logistic - 0.5)]))
    neutral = {"rotate": 0, "spread": 1, "shift": 0, "divide": {"height": 0, "steepness": 1}}
    np.testing.assert_array_equal(one_step(z, neutral), z)


def test_other_latent_dimensions_stay():
    z = np.random.default_rng(0).normal(size=(20, 4))
    moved = one_step(z, {"rotate": 40, "spread": 2, "shift": [1, 2]}, center=np.zeros(4), plane=(1, 3))
    np.testing.assert_array_equal(moved[:, [0, 2]], z[:, [0, 2]])
    np.testing.assert_allclose(one_step(z, {"shift": [1, 2, 3, 4]}, np.zeros(4)) - z, np.tile([1, 2, 3, 4], (20, 1)))


def test_latent_points_follow_the_steps(trained):
    cells = transform(trained, transformations={"group_0": {"rotate": 20.0, "spread": 1.5}}, jitter=0.2)
    z = trained.get_latent_representation()
    moves = (trained.adata.obs["group"] == "group_0").to_numpy()
    center = z[moves].mean(axis=0)
    for time in range(4):
        now = cells.obsm["X_latent"][cells.obs["time"] == time]
        angle = np.radians(20 * time)
        turn = 1.5**time * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(now[moves], (z[moves] - center) @ turn + center, atol=1e-5)
        jitter = now[~moves] - z[~moves]
        assert np.std(jitter) == pytest.approx(0.2 * (time > 0), rel=0.15)
    later = [cells.obsm["X_latent"][cells.obs["time"] == time][~moves] - z[~moves] for time in (1, 2)]
    assert abs(np.corrcoef(later[0].ravel(), later[1].ravel())[0, 1]) < 0.2  # fresh noise each time
    assert cells.obs["source_cell"].tolist() == trained.adata.obs_names.tolist() * 4
    assert cells.obs["transformed"].to_numpy().tolist() == moves.tolist() * 4


def test_counts_come_from_the_decoder_with_the_library_of_each_cell(trained):
    library = np.asarray(trained.adata.X.sum(axis=1)).ravel()
    means = transform(trained, draw="mean", jitter=0.0)
    np.testing.assert_allclose(means.X.sum(axis=1), np.tile(library, 4), rtol=1e-4)
    np.testing.assert_allclose(means.obs["library_size"], np.tile(library, 4))
    last = (means.obs["time"] == 3).to_numpy()
    expected = trained.decode(means.obsm["X_latent"][last], library_size=library)
    np.testing.assert_allclose(means.X[last], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(means.layers["identity"][last], trained.decode(
        trained.get_latent_representation(), library_size=library), rtol=1e-4, atol=1e-4)  # fmt: skip
    counts = transform(trained, jitter=0.0)
    assert (counts.X.data == np.rint(counts.X.data)).all()
    variance = means.X + means.X**2 / np.exp(trained.module.px_r.detach().numpy())
    z = (np.asarray(counts.X.sum(axis=0)).ravel() - means.X.sum(axis=0)) / np.sqrt(variance.sum(axis=0))
    assert np.abs(z).max() < 4.5
    identity = counts.layers["identity"]
    assert (identity[:240] != identity[240:480]).nnz > 0  # drawn anew at each time
    assert "identity" not in transform(trained, null=False).layers


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"groupby": "nowhere"}, KeyError, "nowhere"),
        ({"transformations": {}}, ValueError, "group_0"),
        ({"transformations": {"group_9": {"rotate": 1}}}, ValueError, "group_9"),
        ({"transformations": {"group_0": {"turn": 1}}}, ValueError, "turn"),
        ({"transformations": {"group_0": {}}}, ValueError, "mapping from operations"),
        ({"transformations": {"group_0": {"push": {"a": 1}}}}, ValueError, "push"),
        ({"transformations": {"group_0": {"spread": -1}}}, ValueError, "positive"),
        ({"transformations": {"group_0": {"rotate": "left"}}}, ValueError, "rotate"),
        ({"transformations": {"group_0": {"shift": [1, 2, 3]}}}, ValueError, "shift"),
        ({"transformations": {"group_0": {"shift": [1, np.nan]}}}, ValueError, "shift"),
        ({"transformations": {"group_0": {"rotate": 1, "center": [1]}}}, ValueError, "center"),
        ({"transformations": {"group_0": {"move_to": {"target": [1], "share": 1}}}}, ValueError, "target"),
        ({"plane": (0, 2)}, ValueError, "plane"),
        ({"n_steps": 0}, ValueError, "n_steps=0"),
        ({"draw": "nothing"}, ValueError, "nothing"),
    ],
)
def test_bad_transformations(trained, change, error, match):
    with pytest.raises(error, match=match):
        transform(trained, **change)


def test_a_pole_is_named():
    with pytest.raises(ValueError, match="pole"):
        one_step([[1.0, 2.0]], {"push": {"a": 1, "b": -2}})


def test_cells_without_the_genes_of_the_model(trained):
    with pytest.raises(ValueError, match="genes"):
        scgauge.tl.transform_latent(
            trained.adata[:, :9].copy(), trained, groupby="group", transformations={"group_0": {"rotate": 1}}, **QUIET
        )


def test_pca_of_a_linear_decoder_recovers_45_degrees_and_the_factor(linear):
    """Without noise the recovery is exact, to the float32 of the decoder."""
    cells = transform(
        linear, transformations={"group_0": {"rotate": 45.0, "spread": 1.8}}, n_steps=1, draw="mean", jitter=0.0
    )
    scgauge.tl.transformation_recovery(cells, methods="pca", n_seeds=1, n_pcs=2, **QUIET)
    scores = cells.uns["transformation_recovery"]["scores"].set_index(["data", "metric"])["value"]
    real = scores["transformed"]
    np.testing.assert_allclose(real[["angle", "scale", "skill", "anisotropy"]], [45, 1.8, 1, 1], rtol=2e-5)
    np.testing.assert_allclose(real[["leakage", "energy_profile_error"]], 0, atol=1e-5)
    null = scores["identity"]
    np.testing.assert_allclose(null[["angle", "scale", "true_scale"]], [0, 1, 1], atol=1e-6)


@pytest.mark.slow
def test_joint_tsne_keeps_the_angle_and_loses_the_spread():
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        z = np.concatenate([rng.normal(size=(100, 2)), rng.normal([9, 0], 1, size=(100, 2))])
        angle = np.radians(45)
        image = z.copy()
        image[:100] = 1.8 * z[:100] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        decoder = np.linalg.qr(rng.normal(size=(10, 2)))[0].T
        x = np.concatenate([z, image]) @ decoder + 0.1 * rng.normal(size=(400, 10))
        adata = scgauge.datasets.simulate_counts(400, 6, rng=0)
        adata.obsm["X_linear"] = x
        scgauge.tl.embed(adata, methods=["pca", "tsne"], use_rep="X_linear", rng=seed, progress=False)
        for name in ("pca", "tsne"):
            y = adata.obsm[f"X_embed_{name}"]
            result = scgauge.metrics.transformation_recovery(z[:100], image[:100], before=y[:100], after=y[200:300])
            found.append((name, result.angle, result.scale))
    pca, tsne = ([row[1:] for row in found if row[0] == name] for name in ("pca", "tsne"))
    np.testing.assert_allclose(pca, [[45, 1.8]] * 3, rtol=0.03)
    assert np.abs(np.mean(tsne, axis=0)[0] - 45) < 12
    assert max(scale for _, scale in tsne) < 1.5


def recover(cells, **arguments):
    scgauge.tl.transformation_recovery(cells, **({"methods": "pca", "n_seeds": 1, "n_pcs": 5} | QUIET | arguments))
    return cells.uns["transformation_recovery"]


def test_scores_equal_the_metric_and_methods_see_all_times(trained):
    cells = transform(trained, n_steps=2)
    seen = []

    def first_two(points, seed):
        seen.append(seed)
        return points[:, :2]

    result = recover(cells, methods={"mine": first_two}, n_seeds=2)
    assert len(seen) == 4
    shown = cells.obsm["X_transformation_recovery_mine"]
    rows = (trained.adata.obs["group"] == "group_0").to_numpy()
    z = cells.obsm["X_latent"]
    for time in (1, 2):
        now = slice(240 * time, 240 * (time + 1))
        expected = scgauge.metrics.transformation_recovery(
            z[:240][rows], z[now][rows], before=shown[:240][rows], after=shown[now][rows]
        )
        scores = result["scores"].query("data == 'transformed' and seed == 0 and time == @time and group == 'group_0'")
        for name, value in scores.set_index("metric")["value"].items():
            np.testing.assert_allclose(value, getattr(expected, name), rtol=1e-9)
    assert result["scores"].query("metric == 'true_angle' and data == 'transformed'")["value"].round(
        6
    ).unique().tolist() == [30, 60]


def test_distances_between_times(trained):
    pytest.importorskip("geomloss")
    cells = transform(trained, n_steps=2, transformations={"group_0": {"shift": [4.0, 0.0]}})
    result = recover(cells, distances=("energy", "sinkhorn"), n_max_distances=10_000)
    table = result["distances"].set_index(["method", "statistic", "first", "second"])["value"].sort_index()
    z = cells.obsm["X_latent"]
    centred = z - z.mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=1).mean())
    expected = scgauge.metrics.energy_distance(scaled[:240], scaled[480:], estimator="v")
    np.testing.assert_allclose(table["truth", "energy", 0, 2], expected, rtol=1e-9)
    assert len(table) == 2 * 2 * 3
    shares = {name: table[name, "energy"] / table[name, "energy"].sum() for name in ("truth", "pca")}
    error = result["scores"].query("metric == 'energy_profile_error'")["value"].item()
    np.testing.assert_allclose(error, np.abs(shares["truth"] - shares["pca"]).sum() / 2, rtol=1e-9)


def test_nothing_that_moved_is_found_where_nothing_moved(linear):
    cells = transform(linear, transformations={"group_0": {"rotate": 60.0, "spread": 2.5}}, n_steps=1)
    result = recover(cells)
    scores = result["scores"].query("time > 0").set_index(["data", "metric"])["value"]
    assert scores["identity", "skill"] < 0.1
    assert scores["transformed", "skill"] > 0.5
    assert scores["transformed", "leakage"] < 0.5 < scores["identity", "leakage"]


@pytest.mark.parametrize(
    ("spoil", "change", "error", "match"),
    [
        (lambda a: a[:-1].copy(), {}, ValueError, "all times"),
        (lambda a: a[::-1].copy(), {}, ValueError, "all times"),
        (lambda a: scgauge.datasets.simulate_counts(60, 6, rng=0), {}, KeyError, "transform_latent"),
        (lambda a: a, {"n_seeds": 0}, ValueError, "n_seeds=0"),
        (lambda a: a, {"distances": ["cosine"]}, ValueError, "cosine"),
        (lambda a: a, {"options": {"umap": {}}}, ValueError, "umap"),
    ],
)
def test_bad_recovery(trained, spoil, change, error, match):
    with pytest.raises(error, match=match):
        recover(spoil(transform(trained, n_steps=1)), **change)


def test_recovery_without_unmoved_cells(trained):
    cells = transform(trained, n_steps=1, null=False)
    with pytest.raises(KeyError, match="null=True"):
        recover(cells)
    assert set(recover(cells, null=False)["scores"]["data"]) == {"transformed"}


def test_a_supervised_autoencoder_makes_a_picture_movable():
    adata = scgauge.datasets.simulate_counts(150, 25, n_latent=2, n_groups=3, rng=0)
    adata.obsm["X_flat"] = PCA(2).fit_transform(np.log1p(adata.X.toarray()))
    scgauge.model.SupervisedVI.setup_anndata(adata)
    model = scgauge.model.SupervisedVI(adata, basis="X_flat", n_hidden=16)
    model.train(max_epochs=2, n_epochs_encoder=5, enable_progress_bar=False)
    cells = transform(model, n_steps=1)
    assert cells.n_obs == 300
    np.testing.assert_allclose(cells.obsm["X_latent"][:150], model.get_latent_representation(), rtol=1e-5, atol=1e-6)
