import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.decomposition import PCA

from scgauge.metrics import sinkhorn_divergence, transformation_recovery


def turn(degrees, factor=1.0):
    """For rows: counter-clockwise."""
    angle = np.radians(degrees)
    return factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def points(n=60, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_pca_of_a_linear_decoder_shows_45_degrees_and_the_factor_exactly():
    z = points() + np.array([3.0, -1.0])
    image = (z - z.mean(0)) @ turn(45, 1.8) + z.mean(0)
    decoder = points(2, 10, seed=1)
    shown = PCA(2).fit_transform(np.concatenate([z, image]) @ decoder)
    found = transformation_recovery(z, image, before=shown[:60], after=shown[60:])
    np.testing.assert_allclose([found.angle, found.scale, found.anisotropy, found.skill, found.cosine, found.r2],
                               [45, 1.8, 1, 1, 1, 1], rtol=1e-9)  # fmt: skip
    np.testing.assert_allclose([found.angle_error, found.log_scale_error], [0, 0], atol=1e-9)
    np.testing.assert_allclose(found.matrix, turn(45, 1.8), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    angle=st.floats(-170, 170),
    factor=st.floats(0.3, 3),
    seed=st.integers(0, 1000),
    scale=st.floats(0.01, 100),
)
def test_no_linear_view_changes_the_numbers(angle, factor, seed, scale):
    rng = np.random.default_rng(seed)
    z = points(40, 2, seed)
    view = rng.normal(size=(2, 4))
    if np.linalg.cond(view) > 50:
        return
    image = z @ turn(angle, factor) + rng.normal(size=2)
    before, after = (scale * part @ view + 3 for part in (z, image))
    found = transformation_recovery(z, image, before=before, after=after)
    np.testing.assert_allclose([found.angle, found.scale, found.skill], [angle, factor, 1], rtol=1e-6, atol=1e-6)


def test_noise_of_cells_does_not_attenuate():
    """A regression of the noisy places after on the noisy places before would give a scale below 1.5 here."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = points(300, 2, seed + 1000)
        image = z @ turn(30, 1.8)
        before, after = (part + 0.6 * rng.normal(size=part.shape) for part in (z, image))
        result = transformation_recovery(z, image, before=before, after=after)
        found.append([result.angle, result.scale])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(20)
    assert (np.abs(mean - [30, 1.8]) < 4 * error).all()


def test_nothing_changed_and_the_opposite():
    z = points()
    image = z @ turn(60)
    nothing = transformation_recovery(z, image, before=z, after=z)
    np.testing.assert_allclose([nothing.angle, nothing.scale, nothing.displacement], [0, 1, 0], atol=1e-9)
    assert np.isnan(nothing.skill)  # there is no error of "nothing changed" to improve on
    assert nothing.angle_error == pytest.approx(60)
    noise = 1e-3 * points(seed=1)
    assert transformation_recovery(z, image, before=z, after=z + noise).skill < -1e4
    opposite = transformation_recovery(z, image, before=z, after=z @ turn(-60))
    assert opposite.angle_error == pytest.approx(120)
    assert opposite.skill < 0
    identity = transformation_recovery(z, z, before=z, after=z + noise)
    assert identity.skill == 0
    assert identity.displacement < 1e-3


def test_a_plane_of_more_latent_dimensions():
    z = points(80, 5)
    image = z.copy()
    image[:, [1, 3]] = z[:, [1, 3]] @ turn(-35, 0.7)
    view = points(5, 5, seed=2)
    found = transformation_recovery(z, image, before=z @ view, after=image @ view, plane=(1, 3))
    np.testing.assert_allclose([found.angle, found.scale, found.skill], [-35, 0.7, 1], rtol=1e-8)


def test_angle_and_scale_are_not_defined_where_the_embedding_does_not_follow():
    z = points(200)
    image = z @ turn(45)
    rng = np.random.default_rng(3)
    noise = transformation_recovery(z, image, before=rng.normal(size=z.shape), after=rng.normal(size=z.shape))
    assert noise.r2 < 0.5
    assert np.isnan([noise.angle, noise.scale, noise.anisotropy, noise.angle_error, noise.log_scale_error]).all()
    flat = transformation_recovery(z, image, before=z[:, :1], after=image[:, :1])
    assert np.isnan(flat.angle)
    assert flat.condition == np.inf


def test_anisotropy_of_a_stretch():
    z = points()
    image = z @ np.diag([3.0, 0.5])
    found = transformation_recovery(z, image, before=z, after=image)
    np.testing.assert_allclose([found.anisotropy, found.scale], [6, np.sqrt(1.5)], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"after": points(59)}, "same points"),
        ({"after": points(60, 3)}, "`before` has 2 columns and `after` 3"),
        ({"after": np.full((60, 2), np.nan)}, "NaN"),
        ({"plane": (0, 0)}, "plane"),
        ({"plane": (0, 2)}, "plane"),
    ],
)
def test_bad_input(change, match):
    with pytest.raises(ValueError, match=match):
        transformation_recovery(points(), points(), **({"before": points(), "after": points()} | change))


def test_too_few_points():
    four = points(4)
    with pytest.raises(ValueError, match="4 points are too few"):
        transformation_recovery(four, four, before=four, after=four)


def test_sinkhorn_is_half_the_squared_wasserstein_distance_without_blur():
    ot = pytest.importorskip("ot")
    x, y = points(40), points(50, seed=1) + 1
    exact = ot.emd2([], [], ot.dist(x, y)) / 2
    assert sinkhorn_divergence(x, y, blur=0.01) == pytest.approx(exact, rel=0.02)
    assert sinkhorn_divergence(x, x, blur=0.5) < 1e-9
    assert sinkhorn_divergence(x, x + np.array([2.0, 0.0]), blur=0.5) == pytest.approx(
        2, rel=1e-3
    )  # a shift costs |d|^2 / 2


def test_sinkhorn_bad_input():
    with pytest.raises(ValueError, match="same variables"):
        sinkhorn_divergence(points(), points(5, 3))
    with pytest.raises(ValueError, match="blur=-1"):
        sinkhorn_divergence(points(), points(), blur=-1)
