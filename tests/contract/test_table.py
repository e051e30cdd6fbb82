from contract.public import FLOORS, names
from contract.table import CALLS, LOADERS


def test_every_public_function_has_a_call():
    missing = set(names(*FLOORS)) - set(CALLS) - LOADERS
    assert not missing, f"Add to tests/contract/calls.py or a file beside it: {sorted(missing)}"


def test_the_table_has_no_function_that_is_not_public():
    assert set(CALLS) | LOADERS <= set(names(*FLOORS))


def test_loaders_are_data_sets():
    assert all(name.startswith("datasets.") for name in LOADERS)
    assert not LOADERS & set(CALLS)
