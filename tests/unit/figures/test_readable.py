"""Every figure is readable at every length of label and number of models: no text over another, none cut."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from retrieval_heads.analysis.layer_distribution import locations
from retrieval_heads.analysis.model_tables import model_agreement, per_model, score_bins
from retrieval_heads.analysis.stability import rank_stability
from retrieval_heads.figures import plotting
from retrieval_heads.figures.plotting import lines
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.text_tables import over_models

NOTEBOOKS = Path(__file__).parents[3] / "workflow/notebooks"
THRESHOLD = 0.1
OF_SCORES = ["score_bins", "activation_frequency", "head_scores", "model_correlation", "stability", "head_locations"]
OF_RUNS = ["masked_curve", "error_kinds", "needle_heatmaps", "score_definitions", "extract_qa", "cot_direct"]
OF_RUNS += ["head_reach", "sum_attention_depths", "sum_attention_lowest"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def names(count: int) -> tuple[str, ...]:
    return tuple(f"m{number}" for number in range(count))


def head_scores(seed: int, layers: int, heads: int, cells: int = 60) -> HeadScores:
    """Few heads copy often, most never; three needles; every fourth head shares its keys."""
    generator = np.random.default_rng(seed)
    often = np.where(generator.random((layers, heads)) < 0.04, generator.random((layers, heads)), 0.01)
    scores = (generator.random((cells, layers, heads)) < often) * generator.integers(1, 20, (cells, layers, heads)) / 19
    needles = pd.DataFrame({"needle": np.repeat(["a", "b", "c"], cells // 3)})
    return HeadScores(scores, needles, {layer: (heads, heads // 4) for layer in range(layers)})


@cache
def tables_of_scores(models: tuple[str, ...], layers: int, heads: int) -> dict[str, pd.DataFrame]:
    found = {model: head_scores(seed, layers, heads) for seed, model in enumerate(models)}
    ranked = {model: rank_heads(scores, draws=50) for model, scores in found.items()}
    return {
        "score_bins": score_bins(ranked),
        "activation_frequency": over_models(ranked),
        "head_scores": over_models(ranked),
        "model_correlation": model_agreement(found, 20, THRESHOLD),
        "stability": per_model(found, lambda scores: rank_stability(scores.flat, 20, draws=20)),
        "head_locations": over_models({model: locations(t, THRESHOLD, draws=20) for model, t in ranked.items()}),
    }


def spread(rows: list[dict], share: str) -> pd.DataFrame:
    """Rows with a share of 90, 10 or 80 % by kind, an interval, and the numbers that figures name."""
    table = pd.DataFrame(rows)
    table[share] = table["kind"].map({"none": 90.0, "top": 10.0, "random": 80.0, "bottom": 85.0})
    counts = {"draws": 10, "cells": 990, "needles": 3, "facts": 30, "n": 1000, "chance": 25.0}
    return table.assign(ci_low=table[share] - 8, ci_high=(table[share] + 8).clip(upper=100), **counts)


@cache
def tables_of_runs(models: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    sizes = [2, 5, 10, 15, 20, 30, 50, 100]
    sets = [("none", 0), *((kind, k) for kind in ("top", "random") for k in sizes)]
    curve = spread([{"model": model, "kind": kind, "k": k} for model in models for kind, k in sets], "success")
    errors = ["complete", "incomplete", "wrong extraction", "hallucination"]
    fields = [(length, depth) for length in (1000, 50000, 100000) for depth in (0, 50, 100)]
    grid = pd.concat(
        [curve[curve["k"].isin([0, 20])].assign(length=x, depth=y, runs=30, recall=50.0) for x, y in fields]
    )
    scores = ["copy_set", "copy_count", "copy_position", "attention_sum", "logit_contribution", "query_focused"]
    pairs = {"rank_correlation": 0.5, "overlap": 0.6, "overlap_chance": 0.02, "heads": 1024, "k": 20}
    definitions = [
        {"model": m, "score_a": a, "score_b": b, **pairs} for m in models for a, b in combinations(scores, 2)
    ]
    tasks = {"mmlu": ("loglikelihood", "direct", "cot"), "gsm8k": ("direct", "cot"), "musique": ("direct", "cot")}
    asked = [(task, mode) for task, modes in tasks.items() for mode in modes] + [("extract_qa", "direct")]
    downstream = [curve[curve["k"].isin([0, 10, 20, 50])].assign(task=task, mode=mode) for task, mode in asked]
    report = pd.concat(downstream).rename(columns={"success": "score"}).assign(metric="f1,none")
    facts = curve.rename(columns={"success": "accuracy"})
    placed = pd.concat([facts.assign(placement=placement) for placement in ("documents", "grid")])
    placed = placed[placed["k"].isin([0, 20])]
    bins = [(distance, rank) for distance in (100, 2000, 30000) for rank in range(1, 7)]
    reach = pd.DataFrame([{"model": m, "distance": d, "rank": r, "head": r} for m in models for d, r in bins])
    reach = reach.assign(layer=30, score_here=0.9 - reach["rank"] / 10, ci_low=0.1, ci_high=1.0, cells=90, window=4096)
    lowest = placed.assign(share=placed["k"] * 4.0, falls=placed["k"] == 20)
    return {
        "masked_curve": curve,
        "error_kinds": pd.concat([curve.assign(error=error, share=25.0) for error in errors]),
        "needle_heatmaps": grid,
        "score_definitions": pd.DataFrame(definitions),
        "head_reach": reach,
        "extract_qa": report,
        "cot_direct": report,
        "sum_attention_depths": pd.concat([placed.assign(depth=depth) for depth in (10, 30, 50, 70, 90)]),
        "sum_attention_lowest": lowest[lowest["kind"] != "random"],
    }


def drawn(figure: str, table: pd.DataFrame, labels: dict[str, str], folder: Path, monkeypatch) -> plt.Figure:
    """The figure that a notebook draws of a table written into `folder`."""
    kept = []
    monkeypatch.setattr(plotting, "save", lambda found, table, output: kept.append(found))
    table.to_csv(folder / "table.tsv", sep="\t", index=False)
    families = {model: f"family {int(model[1:]) // 2}" for model in labels}
    space = {
        "table": folder / "table.tsv",
        "labels": labels,
        "settings": {"threshold": THRESHOLD, "score": "copy_count", "families": families},
        "output": str(folder / figure),
    }
    cells = json.loads((NOTEBOOKS / f"{figure}.ipynb").read_text(encoding="utf-8"))["cells"]
    with matplotlib.rc_context(fname=NOTEBOOKS / "matplotlibrc"):
        for cell in cells:
            if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
                exec("".join(cell["source"]), space)
    return kept[0]


def shown(figure: plt.Figure) -> list[Text]:
    """All texts that are drawn; matplotlib keeps labels of ticks beyond the limits of an axis, undrawn."""
    found = set(figure.findobj(Text))
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            drawn_ticks = axis._update_ticks() if axes.axison else []
            for tick in {*axis.get_major_ticks(), *axis.get_minor_ticks()} - set(drawn_ticks):
                found -= {tick.label1, tick.label2}
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def faults(figure: plt.Figure) -> list[str]:
    """Texts that are cut by the edge of the figure, and texts that lie over one another."""
    figure.canvas.draw()
    renderer, edge = figure.canvas.get_renderer(), figure.bbox
    texts = shown(figure)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    # The box around a slanted text is mostly empty.
    upright = [box for text, box in zip(texts, boxes, strict=True) if text.get_rotation() % 90 == 0]
    found = [
        f"cut: {name!r}"
        for name, box in boxes
        if box.x0 < edge.x0 - 1 or box.y0 < edge.y0 - 1 or box.x1 > edge.x1 + 1 or box.y1 > edge.y1 + 1
    ]
    for (first, a), (second, b) in combinations(upright, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > 1.5 and along > 1.5:
            found.append(f"over one another: {first!r} and {second!r}")
    return found


@pytest.mark.parametrize("count", [1, 5, 11])
@pytest.mark.parametrize("figure", OF_SCORES)
def test_figures_of_scores(figure, count, tmp_path, monkeypatch):
    table = tables_of_scores(names(count), 8, 8)[figure]
    labels = {model: f"Qwen3-235B-A22B-Instruct-{number:03d}" for number, model in enumerate(names(count))}
    assert {len(label) for label in labels.values()} == {28}
    assert faults(drawn(figure, table, labels, tmp_path, monkeypatch)) == []


@pytest.mark.parametrize(("layers", "heads"), [(40, 40), (80, 64)])
@pytest.mark.parametrize("figure", ["head_scores", "activation_frequency", "head_locations"])
def test_figures_of_large_models(figure, layers, heads, tmp_path, monkeypatch):
    table = tables_of_scores(names(3), layers, heads)[figure]
    assert faults(drawn(figure, table, {model: f"Model-{model}" for model in names(3)}, tmp_path, monkeypatch)) == []


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("figure", OF_RUNS)
def test_figures_of_runs(figure, count, tmp_path, monkeypatch):
    table = tables_of_runs(names(count))[figure]
    labels = {model: f"Qwen3-235B-A22B-Instruct-{number:03d}" for number, model in enumerate(names(count))}
    assert faults(drawn(figure, table, labels, tmp_path, monkeypatch)) == []


@pytest.mark.parametrize("figure", ["masked_curve", "error_kinds", "needle_heatmaps", "cot_direct", "extract_qa"])
def test_figures_of_models_with_given_head_sets(figure, tmp_path, monkeypatch):
    table = tables_of_runs(names(2))[figure]
    table = table[(table["model"] == "m0") | (table["kind"] == "none")]
    if figure != "needle_heatmaps":
        theirs = table[(table["model"] == "m0") & (table["kind"] == "top")].head(1)
        table = pd.concat([table, theirs.assign(model="m1", kind="theirs", k=7)])
    found = drawn(figure, table, {model: model for model in names(2)}, tmp_path, monkeypatch)
    assert faults(found) == []
    if figure == "masked_curve":
        assert "given heads masked" in {text.get_text() for text in found.legends[0].get_texts()}


@pytest.mark.parametrize("figure", ["stability", "masked_curve", "head_scores"])
@pytest.mark.parametrize("count", [1, 5])
def test_panels_fill_the_width(figure, count, tmp_path, monkeypatch):
    table = (tables_of_scores(names(count), 8, 8) | tables_of_runs(names(count)))[figure]
    found = drawn(figure, table, {model: model for model in names(count)}, tmp_path, monkeypatch)
    found.canvas.draw()
    right = max(panel.get_position().x1 for panel in found.axes)
    last = [panel for panel in found.axes if panel.get_position().y0 < 0.3]
    assert right > 0.9 and max(panel.get_position().x1 for panel in last) > 0.9


def test_what_a_figure_marks_stands_in_its_legend(tmp_path, monkeypatch):
    tables = tables_of_scores(names(2), 8, 8) | tables_of_runs(names(2))
    marks = {
        "stability": {"chance", "a quick run of ten cells"},
        "error_kinds": {"hallucination: none of these, or empty"},
        "head_reach": {"95 % interval", "threshold (0.1)", "window of the head's layer"},
        "head_scores": {"above the threshold (0.1)"},
        "activation_frequency": {"95 % interval", "threshold (0.1)"},
        "model_correlation": {"a model with itself: mean over pairs of its needles"},
        "masked_curve": {"95 % intervals"},
        "extract_qa": {"chance", "95 % interval"},
        "cot_direct": {"chance", "95 % interval"},
    }
    for figure, expected in marks.items():
        found = drawn(figure, tables[figure], {model: model for model in names(2)}, tmp_path, monkeypatch)
        assert expected <= {text.get_text() for legend in found.legends for text in legend.get_texts()}, figure


def test_one_head_of_a_high_score_does_not_flatten_the_colours(tmp_path, monkeypatch):
    table = tables_of_scores(names(1), 8, 8)["head_scores"]
    table.loc[table.index[0], "score"] = 50
    found = drawn("head_scores", table, {"m0": "m0"}, tmp_path, monkeypatch)
    assert found.axes[0].images[0].norm.vmax == 1


def test_labels_are_parted_where_they_can_be():
    assert lines("Qwen3-235B-A22B-Instruct-2507", 18) == "Qwen3-235B-A22B-\nInstruct-2507"
    assert lines("Qwen2.5-Coder-0.5B-Instruct, 5-bit weights", 18) == "Qwen2.5-Coder-\n0.5B-Instruct,\n5-bit weights"
    assert lines("short", 18) == "short"
    assert lines("x" * 30, 18) == "x" * 18 + "\n" + "x" * 12
    assert lines("a b", 1) == "a\nb"
