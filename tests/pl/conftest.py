import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def _close_figures():
    plt.close("all")  # the examples in docstrings leave theirs open
    yield
    plt.close("all")
