"""What the README says works."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import scgauge

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")


def test_the_ten_lines_run(monkeypatch):
    [code] = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)
    lines = [line for line in code.splitlines() if line and not line.startswith("import")]
    assert len(lines) <= 10
    train = scgauge.model.CountVI.train
    # One epoch shows that the lines fit together.
    monkeypatch.setattr(
        scgauge.model.CountVI,
        "train",
        lambda self, **given: train(self, max_epochs=1, enable_progress_bar=False, accelerator="cpu", **given),
    )
    names = {}
    try:
        exec(compile(code, "README.md", "exec"), names)
    finally:
        plt.close("all")
    assert names["adata"].obsm["X_latent"].shape == (700, 10)
    assert names["synthetic"].shape == (1000, 765)


def test_the_table_names_what_exists():
    rows = re.findall(r"^\| .+? \| (.+?) \|$", README, flags=re.MULTILINE)[2:]
    found = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(found) > 10
    for name in found:
        thing = scgauge if "." in name and not name.startswith("CountVI") else scgauge.model
        for part in name.split(".") if "." in name else ["CountVI", name]:
            thing = getattr(thing, part)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (\w+)", README))))
def test_targets_exist(target):
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)


def test_it_has_a_picture():
    [path] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (Path(__file__).parents[1] / path).is_file()
