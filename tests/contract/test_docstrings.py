"""Docstrings say what is true: parameters, sections and types as in the code."""

import dataclasses
import inspect

import pytest
from contract.public import FLOORS, documentation, documented, each, get, names, parameters
from contract.table import LOADERS


@each(*FLOORS)
def test_documented_parameters_are_those_of_the_signature(name):
    assert documented(documentation(get(name))["Parameters"]) == parameters(get(name))


@each(*FLOORS)
def test_types_stand_in_the_signature_alone(name):
    assert [entry.name for entry in documentation(get(name))["Parameters"] if entry.type] == []


@each(*FLOORS)
def test_sections(name):
    found = documentation(get(name))
    assert len(found["Summary"]) == 1
    assert found["Summary"][0].endswith((".", ":"))
    # Nothing can be wrong with a call that has no arguments and reads no file.
    can_fail = parameters(get(name)) or name in LOADERS
    needed = ("Returns", "Raises", "Examples") if can_fail else ("Returns", "Examples")
    assert [section for section in needed if not found[section]] == []


@each(*FLOORS)
def test_raised_errors_are_built_in_and_explained(name):
    import builtins

    for entry in documentation(get(name))["Raises"]:
        error = getattr(builtins, entry.type, None)
        assert inspect.isclass(error), entry.type
        assert issubclass(error, Exception), entry.type
        assert entry.desc


@each(*FLOORS)
def test_the_example_is_a_doctest(name):
    assert ">>> " in "\n".join(documentation(get(name))["Examples"])


@pytest.mark.parametrize("name", names(*FLOORS, kind=dataclasses.is_dataclass))
def test_results_are_frozen_and_document_their_fields(name):
    thing = get(name)
    assert thing.__dataclass_params__.frozen
    fields = {f.name: f for f in dataclasses.fields(thing)}
    attributes = documented(documentation(thing)["Attributes"])
    properties = [n for n in attributes if isinstance(getattr(thing, n, None), property)]
    assert [n for n in attributes if n not in properties] == list(fields)


@each("model", kind=inspect.isclass)
def test_models_document_their_arguments(name):
    found = documentation(get(name))
    assert documented(found["Parameters"]) == parameters(get(name).__init__)
    assert [entry.name for entry in found["Parameters"] if entry.type] == []
    assert [section for section in ("Raises", "Examples") if not found[section]] == []


def methods():
    """Public methods of model classes that are written here, not inherited from scvi-tools."""
    for name in names("model", kind=inspect.isclass):
        for member, thing in inspect.getmembers(get(name)):
            function = getattr(thing, "__func__", thing)
            own = inspect.isfunction(function) and function.__module__.startswith("scgauge.")
            if own and not member.startswith("_"):
                yield pytest.param(function, id=f"{name}.{member}")


@pytest.mark.parametrize("method", list(methods()))
def test_methods_document_their_arguments(method):
    assert inspect.getdoc(method), "no docstring"
    found = documentation(method)
    assert documented(found["Parameters"]) == parameters(method)
    assert found["Summary"][0].endswith(".")
    returns = inspect.signature(method).return_annotation
    assert bool(found["Returns"]) == (returns not in {None, "None"})
