"""The chain in memory: the workflow's own numbers, without its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from retrieval_heads import in_memory, models
from retrieval_heads.detect import detect
from retrieval_heads.head_scores import HeadScoreError, ranking
from retrieval_heads.masking import MaskError
from retrieval_heads.needles import choose, read_needles
from retrieval_heads.placement import Grid
from retrieval_heads.statistics.masked_curves import masked_curve

RESOURCES = Path(__file__).parents[2] / "resources"
GRID = Grid(lengths=(256,), depths=(0, 50), reserve_tokens=128, max_new_tokens=50, repeat_haystack=False)


@pytest.mark.parametrize("family", ["llama", "mistral", "jamba"])
def test_attention_steps_are_eager_rows(family):
    """Mistral's sliding window hides the first positions; Jamba takes no block of tokens onto a filled cache."""
    [prompt], emitted = tiny_models.prompts(lengths=(48,), depths=(50,)), [7, 8, 9]
    loaded = tiny_models.loaded(family)
    layer = loaded.facts.attention_layers[0]
    rows = in_memory.attention_steps(loaded, prompt, emitted, (layer, 2))
    assert rows.shape == (3, 50)
    with torch.no_grad():
        output = tiny_models.build(family)(torch.tensor([[*prompt.ids, *emitted[:-1]]]), output_attentions=True)
    attended = [weights for weights in output.attentions if weights is not None]
    assert rows == pytest.approx(attended[0][0, 2, 47:].numpy(), abs=1e-5)
    assert (rows[0, 48:] == 0).all()


def test_a_head_that_the_model_lacks_is_named():
    [prompt] = tiny_models.prompts(lengths=(48,), depths=(50,))
    with pytest.raises(MaskError, match="head 0-9 does not exist in this model"):
        in_memory.attention_steps(tiny_models.loaded("llama"), prompt, [7], (0, 9))


@pytest.fixture(scope="module")
def organism():
    return models.load(str(RESOURCES / "models/organism"), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def needles():
    return choose(read_needles(RESOURCES / "needles.tsv"), ["kite", "soup"], "needles")


@pytest.fixture(scope="module")
def prompts(organism, needles):
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((RESOURCES / "haystacks").glob("*.txt"))}
    return in_memory.make_prompts(organism, needles, texts, GRID)


@pytest.fixture(scope="module")
def results(organism, prompts):
    return list(detect(organism, prompts, max_new_tokens=GRID.max_new_tokens))


def test_needles_are_dealt_out_over_the_texts(prompts):
    assert [(prompt.cell.needle, prompt.cell.haystack) for prompt in prompts] == [
        *[("kite", "herbal")] * 2,
        *[("soup", "town")] * 2,
    ]
    assert {prompt.cell.question_start for prompt in prompts} == {256 - 128}


def test_scores_are_means_over_the_cells_that_passed(organism, needles, results):
    cells = in_memory.cell_table(results, needles)
    assert cells["passed"].to_list() == (cells["rouge1_recall"] > 50).to_list()
    found = in_memory.head_scores(organism, results, needles, "copy_position")
    passed = [result for result, good in zip(results, cells["passed"], strict=True) if good]
    assert passed, "the organism answers at this length"
    expected = pd.concat(result.scores for result in passed).groupby(["layer", "head"])["copy_position"].mean()
    assert found.flat.mean(0) == pytest.approx(expected.to_numpy())
    others = [needle.__class__(**{**vars(needle), "answer": "zz"}) for needle in needles]
    with pytest.raises(HeadScoreError, match="none of 4 cells passed"):
        in_memory.head_scores(organism, results, others)


def test_masked_runs_are_a_table_for_the_curve(organism, needles, prompts, results):
    ranked = ranking(in_memory.head_scores(organism, results, needles), draws=2)
    heads = ranked.loc[:5, ["layer", "head"]].to_numpy(int).tolist()
    sets = [{"name": "mine", "kind": "given", "k": 6, "seed": None, "heads": heads}]
    runs = in_memory.masked_runs(organism, prompts, sets, needles, max_new_tokens=20, mode="zero_output")
    assert len(runs) == 4 * 2
    curve = masked_curve(runs).set_index("kind")["success"]
    assert np.isfinite(curve).all()
    assert curve["given"] < curve["none"], "the six best heads"
