import numpy as np
import pandas as pd
import pytest
from cells import make_cells

import scgauge


@pytest.fixture
def adata():
    adata = make_cells(n_vars=4)
    genes = ["a", "b", "c", "d"]
    pooled = pd.DataFrame({"target": "Z_0", "gene": genes, "mean_abs": [4, 3, 2, 1], "effect": [0.4, 0.3, -0.2, 0.1]})
    by_group = pd.concat([pooled.assign(group="x"), pooled.assign(group="y", effect=[0.4, 0.3, 0.2, 0.1])])
    by_group["flips"] = [False] * 6 + [True, False]
    agreement = pd.DataFrame(
        {"group": ["x", "y"], "target": "Z_0", "rank_correlation": [0.9, np.nan], "n_flips": [0, 1]}
    )
    adata.uns["attribution_by_group"] = {"pooled": pooled, "by_group": by_group, "agreement": agreement}
    return adata


def test_genes_that_change_their_sign_come_first(adata):
    left, right = scgauge.pl.attribution_by_group(adata, n_genes=3, show=False)
    assert [text.get_text() for text in right.get_yticklabels()] == ["c", "a", "b"]
    assert [text.get_text() for text in left.texts] == ["0"]  # nothing is written where nothing was compared
    np.testing.assert_allclose(left.images[0].get_array().filled(-9).ravel(), [0.9, -9])
    diamonds = right.collections[-1].get_offsets()
    np.testing.assert_allclose(diamonds, [[-0.2, 0], [0.4, 1], [0.3, 2]])
    second = [part for part in right.collections if len(part.get_offsets()) == 3][1]
    np.testing.assert_allclose(second.get_offsets()[:, 0], [0.2, 0.4, 0.3])
    assert second.get_facecolors()[0][3] == 1


def test_bad_input(adata):
    with pytest.raises(KeyError, match="no target 'Z_7'"):
        scgauge.pl.attribution_by_group(adata, target="Z_7", show=False)
    with pytest.raises(KeyError, match="Run: scgauge.tl.attribution_by_group"):
        scgauge.pl.attribution_by_group(make_cells(), show=False)
