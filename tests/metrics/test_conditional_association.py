import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import sparse
from scipy.stats import chi2_contingency

from scgauge.metrics import conditional_association

# Variables z, s1, s2, x, last index fastest; G^2 as iterative fitting, statsmodels and R loglm have it.
COUNTS = [29, 2, 200, 16, 1, 1, 13, 6, 6, 16, 12, 26, 7, 220, 23, 422]
G2 = 146.19747827869102


def observations(counts):
    z, s1, s2, x = (np.repeat(index.ravel(), counts) for index in np.indices((2, 2, 2, 2)))
    return x[:, None], z[:, None], 2 * s1 + s2


def test_number_of_r_and_statsmodels():
    x, z, strata = observations(COUNTS)
    found = conditional_association(x, z, strata=strata)
    np.testing.assert_allclose(found.g2[0, 0], G2, rtol=1e-12)
    assert found.df[0, 0] == 4
    np.testing.assert_allclose(found.cmi[0, 0], G2 / (2 * sum(COUNTS)), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_deviance_of_a_poisson_model(seed):
    counts = np.random.default_rng(seed).integers(1, 60, 16)
    x, z, strata = observations(counts)
    table = pd.DataFrame(np.indices((2, 2, 2, 2)).reshape(4, -1).T, columns=["z", "s1", "s2", "x"]).assign(n=counts)
    fit = sm.GLM.from_formula("n ~ z * s1 * s2 + s1 * s2 * x", table, family=sm.families.Poisson()).fit(tol=1e-12)
    found = conditional_association(x, z, strata=strata)
    np.testing.assert_allclose(found.g2[0, 0], fit.deviance, rtol=1e-9)
    assert found.df[0, 0] == fit.df_resid


def test_without_strata_it_is_the_g_test_of_each_pair_also_for_sparse_data():
    rng = np.random.default_rng(0)
    x, z = rng.integers(0, 2, (200, 4)), rng.integers(0, 2, (200, 3))
    found = conditional_association(x, z)
    for gene in range(4):
        for latent in range(3):
            expected = chi2_contingency(
                pd.crosstab(x[:, gene], z[:, latent]), correction=False, lambda_="log-likelihood"
            )
            np.testing.assert_allclose(found.g2[gene, latent], expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(conditional_association(sparse.csr_matrix(x), z).g2, found.g2, rtol=1e-12)


def test_constant_variables_have_no_degree_of_freedom():
    z = np.arange(10)[:, None] % 2
    found = conditional_association(np.column_stack([np.ones(10), np.zeros(10)]), z)
    np.testing.assert_allclose(found.g2, 0, atol=1e-12)
    assert not found.df.any()


def test_bad_input():
    with pytest.raises(ValueError, match="same rows"):
        conditional_association(np.ones((3, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="`x` must hold only 0 and 1"):
        conditional_association(np.full((2, 1), 3), np.ones((2, 1)))
