import numpy as np
import pytest
from contract.autoencoder_calls import _with_activity, with_signatures

import scgauge


def test_every_gene_of_a_signature_is_drawn():
    (adata,) = with_signatures()
    panel = scgauge.pl.signatures(adata, nodes=["Z_1"], n_names=1, show=False)
    table = adata.uns["signatures"]["genes"].query("node == 'Z_1'")
    drawn = np.concatenate([points.get_offsets()[:, 1] for points in panel.collections[1:]])
    assert len(drawn) == len(table)
    weights = adata.varm["signatures"][:, 1]
    standard = (table["weight"] - weights.mean()) / weights.std(ddof=1)
    np.testing.assert_allclose(np.sort(drawn), np.sort(standard))
    assert {text.get_text() for text in panel.texts} <= set(table["gene"])


def test_names_stand_apart_beside_or_beyond_their_points():
    (adata,) = with_signatures()
    panel = scgauge.pl.signatures(adata, nodes=["Z_1"], n_names=5, show=False)
    low, high = panel.get_ylim()
    for sign in (1, -1):
        names = [text for text in panel.texts if sign * text.xy[1] > 0]
        heights = np.sort([text.xyann[1] for text in names])
        assert len(names) > 1
        assert np.diff(heights).min() > 0.03 * (high - low)
        assert all(sign * (text.xyann[1] - text.xy[1]) >= 0 for text in names)
        assert low < heights[0]
        assert heights[-1] < high


def test_active_signatures_are_coloured_and_named():
    adata = _with_activity().copy()
    volcano, heat = scgauge.pl.signature_activity(adata, show=False)
    tests = adata.uns["signature_activity"]["tests"].query("group == 'a'")
    other, active = volcano.collections[:2]
    np.testing.assert_allclose(active.get_offsets()[:, 0], tests.loc[tests["active"], "difference"])
    assert len(other.get_offsets()) == (~tests["active"]).sum()
    assert heat.images[0].get_array().shape == (tests["active"].sum(),) * 2
    points = tests.set_index("signature")["difference"]
    for name in volcano.texts:
        assert name.xy[0] == points[name.get_text()]
        assert name.xyann[1] == name.xy[1] or name.arrow_patch is not None


def test_bad_keys():
    (adata,) = with_signatures()
    with pytest.raises(KeyError, match=r"tl\.signatures"):
        scgauge.pl.signatures(adata, key="nowhere")
    with pytest.raises(KeyError, match=r"tl\.signature_activity"):
        scgauge.pl.signature_activity(adata, key="nowhere")
