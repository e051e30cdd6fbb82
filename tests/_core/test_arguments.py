from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pytest

import scgauge
from scgauge._core.arguments import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from scgauge._core.arguments import InfiniteFloat
    from scgauge._core.rng import RNG

pytestmark = pytest.mark.quick
Kind = Literal["a", "b"]


def function(
    n: int,
    *,
    share: float = 0.5,
    limit: InfiniteFloat | None = 1.0,
    name: str | None = None,
    kind: Kind = "a",
    rng: RNG = None,
    sizes: Sequence[int] = (1,),
    kinds: Sequence[Kind] = ("a",),
    plane: tuple[int, int] = (0, 1),
    other: ArrayLike = 0,
    flag: bool = False,
):
    return n, share, name, kind, sizes, other, limit


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": "3"}, TypeError, "n='3' was given; an integer is needed"),
        ({"n": True}, TypeError, "n=True was given; an integer is needed"),
        ({"n": 2.5}, ValueError, r"n=2\.5 was given; an integer is needed"),
        ({"n": float("nan")}, ValueError, "n=nan was given; an integer is needed"),
        ({"n": 1, "share": "half"}, TypeError, "share='half' was given; a number is needed"),
        ({"n": 1, "share": float("inf")}, ValueError, "share=inf was given; a finite number is needed"),
        ({"n": 1, "share": float("nan")}, ValueError, "share=nan was given; a finite number is needed"),
        ({"n": 1, "limit": float("nan")}, ValueError, "limit=nan was given; a number other than NaN is needed"),
        ({"n": 1, "limit": "none"}, TypeError, "limit='none' was given; a number or None is needed"),
        ({"n": 1, "name": ["a"]}, TypeError, r"name=\['a'\] was given; a string or None is needed"),
        ({"n": 1, "kind": 3}, TypeError, "kind=3 was given; one of 'a', 'b' is needed"),
        ({"n": 1, "rng": -1}, ValueError, "rng=-1 was given; an integer of at least 0, a numpy Generator"),
        ({"n": 1, "rng": np.random.RandomState(0)}, TypeError, "default_rng"),
        ({"n": 1, "sizes": "12"}, TypeError, "a list of integers is needed"),
        ({"n": 1, "sizes": [1, [2]]}, TypeError, "a list of integers is needed"),
        ({"n": 1, "kinds": "ab"}, TypeError, "kinds='ab' was given; a list of one of 'a', 'b' is needed"),
        ({"n": 1, "kinds": np.array([["a"], ["b"]])}, TypeError, "a list of one of 'a', 'b' is needed"),
        ({"n": 1, "plane": (0, 1, 2)}, TypeError, "2 integers is needed"),
    ],
)
def test_arguments_of_the_wrong_type_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        checked(function)(**arguments)


def test_what_fits_passes_unchanged():
    found = checked(function)(np.int64(3), share=np.float32(0.25), name="x", kind="c", rng=np.random.default_rng(0))
    assert found == (3, 0.25, "x", "c", (1,), 0, 1.0)
    assert checked(function)(1, other=object, flag="yes")[5] is object


@pytest.mark.parametrize("limit", [float("inf"), -np.inf, np.float32("inf"), None])
def test_numbers_are_infinite_where_the_signature_says_so(limit):
    assert checked(function)(1, limit=limit)[6] is limit


def test_series_come_as_lists_whatever_their_index():
    assert checked(function)(1, sizes=pd.Series([4, 5], index=[7, 8]))[4] == [4, 5]


def test_public_functions_are_checked_and_can_be_pickled():
    assert pickle.loads(pickle.dumps(scgauge.metrics.energy_distance)) is scgauge.metrics.energy_distance
    with pytest.raises(TypeError, match=r"estimator=\['u'\] was given"):
        scgauge.metrics.energy_distance(np.eye(3), np.eye(3), estimator=["u"])
    with pytest.raises(TypeError, match="n_cells='x' was given"):
        scgauge.model.LinearVI.get_explained_deviance(None, n_cells="x")


def test_objects_that_print_themselves_are_named_by_their_class(capsys):
    class Model:
        def __repr__(self):
            sys.stdout.write("everything about the model")
            return ""

    with pytest.raises(TypeError, match="sizes=<Model> was given; a list of integers is needed"):
        checked(function)(1, sizes=Model())
    assert capsys.readouterr().out == ""
