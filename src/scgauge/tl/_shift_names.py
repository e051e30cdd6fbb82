"""From the answers to four questions to the names of shifts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scgauge._core.optional import later

#: What may differ between two sets of cells: expression, labels, and each given the other.
QUESTIONS = ("P(x)", "P(y)", "P(x|y)", "P(y|x)")


def questions_of(tests: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """One p-value for each question, Bonferroni over its tests of all cells, then Holm over the questions."""
    overall = tests[(tests["label"] == "") & tests["pvalue"].notna()]
    pvalues = []
    for question in QUESTIONS:
        part = overall.loc[overall["question"] == question, "pvalue"]
        pvalues.append(min(1.0, len(part) * part.min()) if len(part) else np.nan)
    table = pd.DataFrame({"question": QUESTIONS, "pvalue": pvalues})
    asked = table["pvalue"].notna()
    table["padj"] = np.nan
    multipletests = later("statsmodels.stats.multitest").multipletests
    table.loc[asked, "padj"] = multipletests(table.loc[asked, "pvalue"], method="holm")[1]
    table["differs"] = table["padj"] <= alpha
    return table


def name_shifts(questions: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """Name the simplest changes that the answers allow, with p-values, effects and a sentence each."""
    differs = questions.set_index("question")["differs"].to_dict()
    pvalue = questions.set_index("question")["padj"].to_dict()
    largest = tests[tests["label"] == ""].drop_duplicates("question").set_index("question")["effect"].to_dict()
    unasked = {question for question, value in pvalue.items() if np.isnan(value)}
    prior = differs["P(y)"] and not differs["P(x|y)"] and "P(x|y)" not in unasked
    concept = differs["P(y|x)"] and differs["P(x|y)"]
    covariate = differs["P(x)"] and not differs["P(y|x)"] and not prior
    readings = {
        "covariate": _read_covariate(differs, unasked, prior=prior),
        "prior": _read_prior(differs, unasked),
        "concept": _read_concept(differs, unasked),
    }
    rows = [
        ("covariate", covariate, pvalue["P(x)"], largest["P(x)"], "energy coefficient"),
        ("prior", prior, pvalue["P(y)"], largest.get("P(y)", np.nan), "total variation"),
        # Both must differ: the larger p-value is that of the intersection.
        ("concept", concept, np.max([pvalue["P(y|x)"], pvalue["P(x|y)"]]), largest.get("P(y|x)", np.nan),
         "excess quadratic loss"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["shift", "found", "pvalue", "effect", "effect_size"])
    table["found"] = table["found"].astype(bool)
    table["reading"] = table["shift"].map(readings)
    return table


def _read_covariate(differs: dict[str, bool], unasked: set[str], *, prior: bool) -> str:
    if not differs["P(x)"]:
        return "No difference of expression was found."
    if "P(y|x)" in unasked:
        return "Expression differs; whether labels of the same cells do could not be tested."
    if prior:
        return "Expression differs as far as the proportions of labels do."
    if differs["P(y|x)"]:
        return "Expression differs, and labels of cells with the same expression do, too."
    return "Expression differs; labels of cells with the same expression do not."


def _read_prior(differs: dict[str, bool], unasked: set[str]) -> str:
    if "P(y)" in unasked:
        return "Not tested: two labels are needed."
    if not differs["P(y)"]:
        return "No difference of the proportions of labels was found."
    if "P(x|y)" in unasked:
        return "Proportions of labels differ; no label has enough cells in both sets to look within."
    if differs["P(x|y)"]:
        return "Proportions of labels differ, and cells of the same label do, too: proportions do not explain all."
    return "Proportions of labels differ; cells of the same label do not."


def _read_concept(differs: dict[str, bool], unasked: set[str]) -> str:
    if unasked & {"P(y|x)", "P(x|y)"}:
        return "Not tested: labels with enough cells in both sets, and sets that overlap, are needed."
    if not differs["P(y|x)"]:
        return "Labels of cells with the same expression do not differ."
    if not differs["P(x|y)"]:
        return "Labels of cells with the same expression differ as far as the proportions of labels do."
    return "Labels of cells with the same expression differ, and their proportions do not explain it."
