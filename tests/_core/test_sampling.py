import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scgauge._core.sampling import apportion, resample, stratified_rows

sizes = st.lists(st.integers(1, 200), min_size=1, max_size=12).map(np.array)


@given(sizes, st.data())
def test_apportion_fills_every_place_and_no_group_beyond_its_size(sizes, data):
    total = data.draw(st.integers(len(sizes), int(sizes.sum()) + 5))
    places = apportion(sizes, total)
    assert places.sum() == min(total, sizes.sum())
    assert (places >= 1).all()
    assert (places <= sizes).all()


@given(sizes, st.data())
def test_apportion_is_within_one_of_the_quota_where_no_group_has_to_be_raised(sizes, data):
    total = data.draw(st.integers(len(sizes), int(sizes.sum())))
    quota = total * sizes / sizes.sum()
    if (quota >= 1).all():
        assert (np.abs(apportion(sizes, total) - quota) < 1).all()


def test_apportion_by_hand():
    assert apportion(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert apportion(np.array([998, 1, 1]), 10).tolist() == [8, 1, 1]


def test_apportion_names_the_number_of_groups():
    with pytest.raises(ValueError, match="2 cells cannot represent 3 groups"):
        apportion(np.array([5, 5, 5]), 2)


def test_stratified_rows_keep_shares_and_are_sorted_without_repeats():
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    rows = stratified_rows(codes, 100, np.random.default_rng(0))
    assert np.bincount(codes[rows]).tolist() == [60, 30, 10]
    assert (np.diff(rows) > 0).all()
    again = stratified_rows(codes, 100, np.random.default_rng(0))
    other = stratified_rows(codes, 100, np.random.default_rng(1))
    assert np.array_equal(rows, again)
    assert not np.array_equal(rows, other)


def test_stratified_rows_return_everything_when_there_is_room():
    assert stratified_rows(np.array([0, 1, 1]), 3, np.random.default_rng(0)).tolist() == [0, 1, 2]


def test_rows_are_drawn_as_often_as_their_weights_say():
    weights = np.random.default_rng(0).gamma(1, size=30)
    for seed in range(5):
        drawn = np.bincount(resample(weights, 200, np.random.default_rng(seed)), minlength=30)
        assert drawn.sum() == 200
        assert (np.abs(drawn - 200 * weights / weights.sum()) < 1).all()
    assert resample(np.ones(64), 64, np.random.default_rng(0)).tolist() == list(range(64))
    assert set(resample(np.array([0.0, 1.0, 0.0]), 9, np.random.default_rng(0))) == {1}
