import numpy as np
import pytest

from scgauge.datasets import simulate_binary_blocks

pytestmark = pytest.mark.quick


def test_truth_is_the_published_one():
    table = simulate_binary_blocks(10, rng=0).uns["scgauge_truth"]["odds_ratios"].set_index("pair")["odds_ratio"]
    assert table["same block"] == pytest.approx(1.698318604, rel=1e-9)
    assert table["different blocks"] == pytest.approx(0.5351239669, rel=1e-9)
    assert table["other"] == 1


def test_drawn_cells_have_the_odds_ratios_of_the_truth():
    log_ratios = {"same block": [], "different blocks": [], "other": []}
    for seed in range(10):
        x = simulate_binary_blocks(rng=seed).X.toarray().astype(bool)
        for name, (i, j) in {"same block": (0, 1), "different blocks": (2, 7), "other": (3, 30)}.items():
            a, b = x[:, i], x[:, j]
            table = [(a & b).sum(), (~a & ~b).sum(), (a & ~b).sum(), (~a & b).sum()]
            log_ratios[name].append(np.log(table[0] * table[1] / (table[2] * table[3])))
    truth = {"same block": 1.698318604, "different blocks": 0.5351239669, "other": 1.0}
    for name, values in log_ratios.items():
        error = np.std(values, ddof=1) / np.sqrt(10)
        assert abs(np.mean(values) - np.log(truth[name])) < 5 * error


def test_shares_of_ones():
    adata = simulate_binary_blocks(20000, 12, rng=1)
    assert set(np.unique(adata.X.toarray())) == {0.0, 1.0}
    first = (adata.obs["group"] == "group_0").to_numpy()
    shares = adata.X.toarray()[first].mean(0)
    np.testing.assert_allclose(shares[:5], 0.37, atol=0.03)  # 10,000 cells: standard error 0.005
    np.testing.assert_allclose(shares[5:], 0.10, atol=0.02)
    assert list(adata.var["block"][:11]) == ["block_0"] * 5 + ["block_1"] * 5 + ["noise"]


def test_same_seed_same_cells_in_any_blocks_and_no_global_state(monkeypatch):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = simulate_binary_blocks(100, rng=3), simulate_binary_blocks(100, rng=4)
    monkeypatch.setattr("scgauge.datasets._simulate_binary_blocks._CELLS_AT_ONCE", 7)
    two = simulate_binary_blocks(100, rng=3)
    assert (one.X != two.X).nnz == 0
    assert (one.X != other.X).nnz > 0
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_names_keep_the_order_of_their_numbers():
    adata = simulate_binary_blocks(24, 13, n_blocks=12, block_size=1, rng=0)
    numbers = [str(index) for index in range(12)]
    assert list(adata.obs["group"].cat.categories) == [f"group_{number}" for number in numbers]
    assert list(adata.var["block"]) == [*(f"block_{number}" for number in numbers), "noise"]


def test_one_block_has_no_second():
    pairs = simulate_binary_blocks(10, n_blocks=1, rng=0).uns["scgauge_truth"]["odds_ratios"]["pair"]
    assert list(pairs) == ["same block", "other"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_obs": 0}, "n_obs=0 was given"),
        ({"background": 0.0}, "background=0.0 was given"),
        ({"signal": 1.5}, "signal=1.5 was given"),
        ({"n_vars": 9}, "2 blocks of 5 genes need 10 genes"),
        ({"block_size": 2.5}, "block_size=2.5 was given"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_binary_blocks(**arguments)
