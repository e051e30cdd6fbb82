"""What a call leaves in its arguments: the documented keys, nothing after a failure, nothing with `copy=True`."""

import inspect

import anndata
import numpy as np
import pytest
import torch
from anndata import AnnData
from contract.public import get, names, parameters, written_keys
from contract.state import contents, keys, process_state
from contract.table import CALLS


def writes(name):
    return "copy" in inspect.signature(get(name)).parameters


def returns_cells(name):
    return str(inspect.signature(get(name)).return_annotation) in {"AnnData", "AnnData | None"}


CALLABLE = [name for name in names("datasets", "metrics", "pl", "pp", "tl") if name in CALLS]
each_call = pytest.mark.parametrize("name", CALLABLE)
each_writing = pytest.mark.parametrize("name", [name for name in CALLABLE if writes(name)])
each_returning = pytest.mark.parametrize("name", [name for name in CALLABLE if not writes(name)])


def run(name, **more):
    """Call a function and return (result, data)."""
    call = CALLS[name]
    data = call.data()
    return get(name)(*data, **{**call.kwargs, **more}), data


def root(name):
    """Name and position of the argument that is written to: the synthetic cells, where there are two data sets."""
    found = parameters(get(name))[:2]
    return ("synthetic", 1) if found == ["real", "synthetic"] else (found[0], 0)


def default_key(name):
    default = inspect.signature(get(name)).parameters["key_added"].default
    return CALLS[name].key_added if default is None else default


def arguments(name):
    """Arguments that the call names and that keys may be made of."""
    return {key: value for key, value in CALLS[name].kwargs.items() if isinstance(value, str) and key != "key_added"}


def snapshot(data):
    return [contents(getattr(item, "adata", item)) for item in data]


@each_writing
def test_written_keys_are_the_documented_ones(name):
    key = default_key(name)
    argument, position = root(name)
    before = keys(CALLS[name].data()[position])
    result, data = run(name)
    assert result is None
    assert keys(data[position]) - before == written_keys(get(name), argument, key, **arguments(name))


@each_writing
def test_key_added_renames_everything_that_is_written(name):
    argument, position = root(name)
    before = keys(CALLS[name].data()[position])
    _, data = run(name, key_added="mine")
    new = keys(data[position]) - before
    assert new == written_keys(get(name), argument, "mine", **arguments(name))
    assert all("mine" in key for _, key in new)


@each_writing
def test_two_results_live_side_by_side(name):
    call = CALLS[name]
    data = call.data()
    get(name)(*data, **call.kwargs, key_added="one")
    adata = data[root(name)[1]]
    first = {slot_key: contents(getattr(adata, slot_key[0])[slot_key[1]]) for slot_key in keys(adata)}
    get(name)(*data, **call.kwargs, key_added="two")
    assert {k: contents(getattr(adata, k[0])[k[1]]) for k in first} == first


@each_writing
def test_copy_leaves_the_input_alone(name):
    call = CALLS[name]
    data = call.data()
    before = snapshot(data)
    result = get(name)(*data, **call.kwargs, copy=True)
    assert isinstance(result, AnnData)
    assert result is not data[root(name)[1]]
    assert snapshot(data) == before
    assert keys(result) > keys(data[root(name)[1]])


@each_writing
def test_what_was_there_stays(name):
    position = root(name)[1]
    before = contents(CALLS[name].data()[position])
    _, data = run(name)
    after = contents(data[position])
    for slot in before:
        if isinstance(before[slot], dict):
            assert {key: after[slot][key] for key in before[slot]} == before[slot]
        else:
            assert after[slot] == before[slot]


@each_returning
def test_functions_that_return_write_nothing(name):
    call = CALLS[name]
    data = call.data()
    before = snapshot(data)
    get(name)(*data, **call.kwargs)
    assert snapshot(data) == before


@pytest.mark.parametrize("name", [n for n in CALLABLE if not writes(n) and written_keys(get(n), None, None)])
def test_returned_cells_have_the_documented_keys(name):
    result, _ = run(name)
    assert keys(result) >= written_keys(get(name), None, None)


@each_call
def test_a_failing_call_changes_nothing(name):
    call = CALLS[name]
    data = (call.bad_data or call.data)()
    before = snapshot(data)
    with pytest.raises(call.error, match=call.match):
        get(name)(*data, **{**call.kwargs, **call.bad})
    assert snapshot(data) == before


@pytest.mark.parametrize("name", [n for n in CALLABLE if parameters(get(n))[:1] == ["adata"]])
def test_something_else_than_anndata_is_named(name):
    call = CALLS[name]
    with pytest.raises(TypeError, match="AnnData"):
        get(name)({"X": 1}, *call.data()[1:], **call.kwargs)


@pytest.mark.parametrize("format_", ["h5ad", "zarr"])
@pytest.mark.parametrize("name", [n for n in CALLABLE if returns_cells(n)])
def test_results_survive_files(name, format_, tmp_path):
    result, data = run(name)
    adata = data[root(name)[1]] if result is None else result
    before = contents(adata)
    path = tmp_path / f"data.{format_}"
    getattr(adata, f"write_{format_}")(path)
    assert contents(getattr(anndata, f"read_{format_}")(path)) == before


@each_call
def test_global_state_is_left_alone(name):
    call = CALLS[name]
    data = call.data()
    before = process_state()
    get(name)(*data, **call.kwargs)
    after = process_state()
    assert [part for part in before if after[part] != before[part]] == []


@pytest.mark.parametrize("name", [n for n in CALLABLE if "rng" in inspect.signature(get(n)).parameters])
def test_a_seed_decides_everything(name):
    def result():
        call = CALLS[name]
        data = call.data()
        returned = get(name)(*data, **{**call.kwargs, "rng": 1})
        return contents(returned if returned is not None else data[root(name)[1] if writes(name) else 0])

    first = result()
    np.random.random()  # noqa: NPY002 - the global states move on
    torch.rand(1)
    assert result() == first


@each_call
def test_nothing_is_printed_and_no_file_is_written(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call = CALLS[name]
    data = call.data()
    capsys.readouterr()
    get(name)(*data, **call.kwargs)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
