"""The API in memory: the workflow's own numbers, without its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

import retrieval_heads
from retrieval_heads import api
from retrieval_heads.detection.detector import detect
from retrieval_heads.head_scores.scores import HeadScoreError
from retrieval_heads.masking.masks import MaskError

RESOURCES = Path(__file__).parents[2] / "resources"
GRID = {"lengths": [256], "depths": [0, 50]}


def test_the_package_gives_what_the_api_names():
    assert retrieval_heads.__all__ == api.__all__
    assert all(getattr(retrieval_heads, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'find_hats'"):
        retrieval_heads.find_hats  # noqa: B018


@pytest.mark.parametrize("family", ["llama", "mistral", "jamba"])
def test_attention_patterns_are_eager_rows(family):
    """Mistral's sliding window hides the first positions; Jamba takes no block of tokens onto a filled cache."""
    [prompt], emitted = tiny_models.prompts(lengths=(48,), depths=(50,)), [7, 8, 9]
    loaded = tiny_models.loaded(family)
    layer = loaded.info.attention_layers[0]
    rows = api.attention_pattern(loaded, prompt, emitted, (layer, 2))
    assert rows.shape == (3, 50)
    with torch.no_grad():
        output = tiny_models.build(family)(torch.tensor([[*prompt.ids, *emitted[:-1]]]), output_attentions=True)
    attended = [weights for weights in output.attentions if weights is not None]
    assert rows == pytest.approx(attended[0][0, 2, 47:].numpy(), abs=1e-5)
    assert (rows[0, 48:] == 0).all()


def test_a_head_that_the_model_lacks_is_named():
    [prompt] = tiny_models.prompts(lengths=(48,), depths=(50,))
    with pytest.raises(MaskError, match="head 0-9 does not exist in this model"):
        api.attention_pattern(tiny_models.loaded("llama"), prompt, [7], (0, 9))


@pytest.fixture(scope="module")
def organism():
    return api.load_model(str(RESOURCES / "models/organism"), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def needles():
    table = api.read_needles(RESOURCES / "needles.tsv")
    return [table[name] for name in ("kite", "soup")]


@pytest.fixture(scope="module")
def prompts(organism, needles):
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((RESOURCES / "haystacks").glob("*.txt"))}
    return api.make_prompts(organism, needles, texts, **GRID)


@pytest.fixture(scope="module")
def found(organism, prompts, needles):
    return api.find_heads(organism, prompts, needles, score="copy_position")


def test_needles_take_the_texts_in_turn(prompts):
    assert [(prompt.cell.needle, prompt.cell.haystack) for prompt in prompts] == [
        *[("kite", "herbal")] * 2,
        *[("soup", "town")] * 2,
    ]
    assert {prompt.cell.question_start for prompt in prompts} == {256 - 128}


def test_scores_are_means_over_the_cells_that_passed(organism, needles, prompts, found):
    assert found.cells["passed"].to_list() == (found.cells["rouge1_recall"] > 50).to_list()
    results = list(detect(organism, prompts, max_new_tokens=50))
    assert [found.emitted[one.cell.needle, one.cell.length, one.cell.depth] for one in results] == [
        one.response_ids for one in results
    ]
    passed = [result for result, good in zip(results, found.cells["passed"], strict=True) if good]
    assert passed, "the organism answers at this length"
    expected = pd.concat(result.scores for result in passed).groupby(["layer", "head"])["copy_position"].mean()
    assert found.scores.flat.mean(0) == pytest.approx(expected.to_numpy())
    assert found.top(2) == [tuple(head) for head in found.ranking[["layer", "head"]].to_numpy()[:2].tolist()]
    others = [needle.__class__(**{**vars(needle), "answer": "zz"}) for needle in needles]
    with pytest.raises(HeadScoreError, match="none of 4 cells passed"):
        api.find_heads(organism, prompts, others)


def test_scores_agree_with_themselves(found):
    assert api.compare_scores(found.scores, found.scores, k=3)["overlap"] == 1


def test_masked_runs_are_a_table_for_the_curve(organism, needles, prompts, found):
    sets = [{"name": "mine", "kind": "given", "k": 6, "seed": None, "heads": found.top(6)}]
    runs = api.run_masked(organism, prompts, sets, needles, max_new_tokens=20, mode="zero_output")
    assert len(runs) == 4 * 2
    curve = api.success_curve(runs).set_index("kind")["success"]
    assert np.isfinite(curve).all()
    assert curve["given"] < curve["none"], "the six best heads"


def test_masked_changes_what_a_model_says_inside_the_block_only(organism, prompts, found):
    ids = torch.tensor([list(prompts[0].ids)])
    with torch.inference_mode():
        before = organism.model(ids).logits
        with api.masked(organism, api.HeadMask(tuple(found.top(6)))):
            inside = organism.model(ids).logits
        after = organism.model(ids).logits
    assert torch.equal(before, after)
    assert torch.equal(before[:, :-1], inside[:, :-1]), "scope decode masks from the last prompt token on"
    assert not torch.allclose(before[:, -1], inside[:, -1])
