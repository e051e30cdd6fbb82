"""Shape of the public signatures: what is positional, what every function of a floor takes and returns."""

import inspect

import pytest
from contract.public import each, get

import scgauge

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD = inspect.Parameter.KEYWORD_ONLY
#: The rule of `adata` first has these exceptions: a model or several, a model with data, the number of cells to draw,
#: two samples.
FIRST = {
    "pp": [("adata",)],
    "tl": [
        ("adata",),
        ("model",),
        ("models",),
        ("adata", "model"),
        ("model", "n_obs"),
        ("x", "y"),
        ("real", "synthetic"),
        ("model_or_pairs",),
    ],
    "pl": [
        ("adata",),
        ("model",),
        ("adata", "synthetic"),
        ("real", "synthetic"),
        ("result",),
        ("table",),
    ],
}
#: Parameters that do not count towards ten.
FREE = {"key_added", "copy", "rng", "progress"}


def split_signature(name):
    found = inspect.signature(get(name)).parameters.values()
    return [p for p in found if p.kind is POSITIONAL], [p for p in found if p.kind is KEYWORD], list(found)


@each("pp", "tl", "pl")
def test_data_come_first_and_the_rest_by_keyword(name):
    positional, _, _ = split_signature(name)
    assert tuple(p.name for p in positional) in FIRST[name.partition(".")[0]]


@each("metrics")
def test_metrics_take_one_or_two_arrays_and_the_rest_by_keyword(name):
    positional, _, _ = split_signature(name)
    assert 1 <= len(positional) <= 2
    assert all(p.default is p.empty for p in positional)


@each("datasets")
def test_only_sizes_of_a_simulation_names_of_sets_and_paths_are_positional(name):
    positional, _, _ = split_signature(name)
    named = [p.name for p in positional]
    assert all(name.startswith("n_") for name in named) or named in (["name"], ["organism"], ["path"])
    assert len(positional) <= 2


@each("datasets", "metrics", "pl", "pp", "tl")
def test_every_parameter_is_positional_or_keyword_only(name):
    _, _, everything = split_signature(name)
    assert {p.kind for p in everything} <= {POSITIONAL, KEYWORD}


@each("datasets", "metrics", "pl", "pp", "tl")
def test_at_most_ten_parameters(name):
    positional, keyword, _ = split_signature(name)
    counted = [p.name for p in keyword if p.name not in FREE]
    assert len(counted) <= 10, counted
    assert len(positional) <= 2


@each("datasets", "metrics", "pl", "pp", "tl")
def test_everything_is_annotated(name):
    signature = inspect.signature(get(name))
    assert signature.return_annotation is not signature.empty
    assert [p.name for p in signature.parameters.values() if p.annotation is p.empty] == []


@each("pp", "tl")
def test_writing_functions_take_key_added_and_copy(name):
    parameters = inspect.signature(get(name)).parameters
    if "copy" not in parameters and "key_added" not in parameters:
        # Returns its result: nothing is written, so that there is nothing to name or to copy.
        assert "None" not in str(inspect.signature(get(name)).return_annotation)
        return
    assert "key_added" in parameters
    assert parameters["copy"].kind is KEYWORD
    assert parameters["copy"].default is False
    assert inspect.signature(get(name)).return_annotation == "AnnData | None"


@each("datasets", "metrics", "pl", "pp", "tl")
def test_randomness_is_called_rng(name):
    parameters = inspect.signature(get(name)).parameters
    assert not {"seed", "random_state", "random_seed", "generator"} & set(parameters)
    if "rng" in parameters:
        assert parameters["rng"].default is None


@each("pl")
def test_figures_can_be_kept_from_showing(name):
    parameters = inspect.signature(get(name)).parameters
    assert parameters["show"].default is None
    assert parameters["return_fig"].default is False
    assert not {"save", "filename", "path"} & set(parameters)


@pytest.mark.parametrize("floor", ["datasets", "metrics", "model", "module", "nn", "pl", "pp", "report", "tl", "train"])
def test_public_names_are_sorted_and_exist(floor):
    import importlib

    module = importlib.import_module(f"scgauge.{floor}")
    # Constants, classes, functions: the order that ruff's RUF022 keeps.
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    public = {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and (inspect.isfunction(thing) or inspect.isclass(thing))
    }
    assert public <= set(module.__all__)


def test_the_top_level_lists_the_floors_of_users():
    assert scgauge.__all__ == ["datasets", "metrics", "model", "pl", "pp", "report", "tl"]
