"""Quirks of the released code, each by an example worked out by hand; without a name nothing changes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import yaml
from transformers import AutoTokenizer

from retrieval_heads.detection import detector as detection
from retrieval_heads.head_scores.scores import from_table
from retrieval_heads.prompts import haystacks as texts
from retrieval_heads.prompts import placement
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import Grid, cut_pieces
from retrieval_heads.replication import engine
from retrieval_heads.replication.effects import Measured, effects
from retrieval_heads.replication.prompts import PERIOD_TOKENS, Prompts
from retrieval_heads.replication.quirks import QUIRKS, STAGES, acting, quirk_faults, untouched, variants

ROOT = Path(__file__).parents[3]
NEEDLE = Needle("kite", "They fly a red kite.", "What do they fly?", "a red kite", "They fly")
TEMPLATE = "{context}\nQuestion: {question}\nAnswer:{cue}"
TEXT = 'One day it rained. "Good," she said.\nThen it stopped, and all went home again.'
NEW = 6


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ROOT / "resources/models/organism")


def test_the_schema_knows_every_quirk_and_each_acts_somewhere():
    names = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())["properties"]["quirks"]
    listed = names["properties"]["names"]
    assert listed["items"]["enum"] == listed["default"] == list(QUIRKS)
    assert yaml.safe_load((ROOT / "config/paper-code.yaml").read_text())["quirks"]["names"] == list(QUIRKS)
    assert all(set(stages) <= set(STAGES) and stages for stages in QUIRKS.values())


def test_variants_are_none_each_alone_and_all_together():
    made = variants(["m"], ["zero_query", "bos_literal"])["m"]
    assert made == {
        "m--none": (),
        "m--zero_query": ("zero_query",),
        "m--bos_literal": ("bos_literal",),
        "m--all": ("zero_query", "bos_literal"),
    }
    assert list(variants(["m"], ["zero_query"])["m"]) == ["m--none", "m--zero_query"]
    assert acting(made["m--all"], ["mask"]) == ["zero_query"]
    assert untouched(made, ["place_detection"]) == ["m--none", "m--zero_query"]


def test_faults_name_the_key_and_the_remedy():
    config = {"quirks": {"models": ["lama"]}, "models": {"llama": {}}, "detection": {"scores": ["copy_count"]}}
    unknown, unscored = quirk_faults(config)
    assert unknown == "quirks.models: 'lama' is not under models; add it there or remove it here"
    assert unscored.endswith("add it to detection.scores")


def test_json_haystack(tokenizer):
    ids = Prompts(("json_haystack",)).tokenize("h", TEXT, tokenizer).ids
    assert tokenizer.decode(ids).strip() == (
        r'{"text": "One day it rained. \"Good,\" she said.\nThen it stopped, and all went home again."}'
    )


def test_fixed_sentence_ends(tokenizer):
    """No text of this tokenizer holds Llama's full stops: every needle but that at depth 100 goes to the start."""
    found = Prompts(("fixed_sentence_ends",)).tokenize("h", TEXT, tokenizer)
    assert len(found.sentence_ends) == 0 < len(texts.tokenize("h", TEXT, tokenizer).sentence_ends)
    assert [placement.insertion_point(found, 10, depth) for depth in (0, 50, 99, 100)] == [0, 0, 0, 10]


def test_fixed_sentence_ends_are_right_for_llama():
    class Llama:
        """Words of a letter and the two full stops of Llama's vocabulary."""

        is_fast, chat_template, added_tokens_decoder, all_special_ids = True, None, {}, []

        def __call__(self, text, **_options):
            ids = [PERIOD_TOKENS[0] if letter == "." else ord(letter) for letter in text]
            return {"input_ids": ids, "offset_mapping": [(n, n + 1) for n in range(len(text))]}

    found = Prompts(("fixed_sentence_ends",)).tokenize("h", "ab. c. d", Llama())
    assert found.sentence_ends.tolist() == [4, 7], "behind the leading space: ' ab.' and ' ab. c.'"


def test_bos_literal(tokenizer):
    plain = cut_pieces(NEEDLE, tokenizer, TEMPLATE, False)
    marked = Prompts(("bos_literal",)).cut_pieces(NEEDLE, tokenizer, TEMPLATE, False)
    assert tokenizer.decode(marked.head) == 3 * tokenizer.bos_token and len(plain.head) == 1
    assert marked.needle == (tokenizer.bos_token_id, *plain.needle)
    assert tokenizer.decode(marked.needle[slice(*marked.answer)]).strip() == NEEDLE.answer
    assert marked.tail == plain.tail


def test_zero_length(tokenizer):
    """The shortest length gives way to cells of the bare needle, which the tables can hold and put together again."""
    pieces = cut_pieces(NEEDLE, tokenizer, TEMPLATE, False)
    straw = texts.tokenize("h", 10 * f"{TEXT} ", tokenizer)
    grid = Grid((60, 90), (0, 50), 30, 10, False)
    made = list(Prompts(("zero_length",)).place_grid("kite", straw, pieces, grid))
    assert [(prompt.cell.length, prompt.cell.depth) for prompt in made] == [(0, 0), (0, 50), (90, 0), (90, 50)]
    assert made[0].ids == made[1].ids == pieces.head + pieces.needle + pieces.tail
    assert placement.assemble([asdict(p.cell) for p in made], {"h": straw}, {"kite": asdict(pieces)}) == made


def test_without_names_prompts_are_those_of_the_clean_code(tokenizer):
    clean = Prompts(())
    plain = texts.tokenize("h", TEXT, tokenizer)
    same = clean.tokenize("h", TEXT, tokenizer)
    assert np.array_equal(same.ids, plain.ids) and np.array_equal(same.sentence_ends, plain.sentence_ends)
    pieces = clean.cut_pieces(NEEDLE, tokenizer, TEMPLATE, False)
    assert pieces == cut_pieces(NEEDLE, tokenizer, TEMPLATE, False)
    grid = Grid((40, 50), (0, 100), 10, 5, False)
    assert list(clean.place_grid("k", plain, pieces, grid)) == list(placement.place_grid("k", plain, pieces, grid))


@pytest.mark.parametrize(
    ("prompt", "answer", "span"),
    [
        ([9, 9, 1, 2, 3, 9], [1, 2, 3], (2, 5)),
        ([9, 3, 9, 1, 2, 3, 9], [1, 2, 3], (3, 6)),
        # Of ten different tokens one may not be missing, of eleven it may: the window begins one token too early.
        ([99, *range(10), 99], list(range(10)), (1, 11)),
        ([99, *range(11), 99], list(range(11)), (0, 11)),
        # Order does not count, nor does repetition: another passage of the same tokens is taken for the answer.
        ([3, 2, 1, 1, 9, 1, 2, 3, 1], [1, 2, 3, 1], (0, 4)),
        # A first token that reads otherwise inside a text is enough to lose a short answer.
        ([9, 7, 2, 3, 9], [1, 2, 3], (-1, -1)),
    ],
)
def test_overlap_window(prompt, answer, span):
    assert engine.window(prompt, answer) == span


class Searched:
    """A tiny model whose tokenizer reads each answer as the tokens that are given."""

    def __init__(self, loaded, answers: dict[str, list[int]]):
        self.model, self.info, self.inner, self.answers = loaded.model, loaded.info, loaded.tokenizer, answers
        self.tokenizer = self

    def __call__(self, text, **_options):
        return {"input_ids": self.answers[text]}

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __len__(self):
        return len(self.inner)


def test_a_cell_whose_answer_is_not_found_scores_zero_and_another_that_of_the_window():
    loaded, [prompt] = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(48,), depths=(50,))
    start, end = prompt.cell.answer_start, prompt.cell.answer_end
    found = Searched(loaded, {"here": list(prompt.ids[start:end]), "gone": [94, 95]})
    options = {"max_new_tokens": NEW, "names": ["overlap_window"]}
    [plain] = detection.detect(loaded, [prompt], max_new_tokens=NEW)
    [here] = engine.detect(found, [prompt], answers={prompt.cell.needle: "here"}, **options)
    [gone] = engine.detect(found, [prompt], answers={prompt.cell.needle: "gone"}, **options)
    assert here.response == gone.response == plain.response
    assert here.cell == plain.cell and here.scores.equals(plain.scores)
    assert (gone.cell.answer_start, gone.cell.answer_end) == (-1, -1)
    assert gone.scores[["layer", "head"]].equals(plain.scores[["layer", "head"]])
    assert (gone.scores.drop(columns=["layer", "head"]) == 0).all(axis=None)
    assert plain.scores["attention_sum"].gt(0).any()


def test_no_end_token():
    """A model of its own: the end token would stop at once, so that only a deaf one goes on."""
    loaded = replace(tiny_models.loaded("llama"), model=tiny_models.build("llama", attention="sdpa"))
    [prompt] = tiny_models.prompts(lengths=(48,), depths=(50,))
    [before] = detection.detect(loaded, [prompt], max_new_tokens=NEW)
    loaded.model.generation_config.eos_token_id = before.response_ids[1]
    [stopped] = engine.detect(loaded, [prompt], names=[], answers={}, max_new_tokens=NEW)
    assert stopped.response_ids == before.response_ids[:2]
    [deaf] = engine.detect(loaded, [prompt], names=["no_end_token"], answers={}, max_new_tokens=NEW)
    assert deaf.response_ids == before.response_ids and len(deaf.response_ids) > 2


def measured(scores: list[float], passed: list[bool], start: int) -> Measured:
    """One layer of heads with the same scores in two cells, and runs of one top and one random set of a head."""
    rows = [("n", 1, depth, 0, head, score) for depth in (0, 1) for head, score in enumerate(scores)]
    table = pd.DataFrame(rows, columns=["needle", "length", "depth", "layer", "head", "copy_set"])
    cells = pd.DataFrame({"passed": [True, True], "answer_start": [start, 5]})
    sets = [("unmasked", "none", 0), ("top-1", "top", 1), ("random-1-0", "random", 1)]
    runs = [
        {"head_set": name, "kind": kind, "k": k, "seed": 0, "needle": "n", "length": 1, "depth": depth, "passed": hit}
        for (name, kind, k), hit in zip(sets, passed, strict=True)
        for depth in (0, 1)
    ]
    return Measured(from_table(table, "copy_set", (1, len(scores))), cells, pd.DataFrame(runs))


def test_effects_on_a_model_without_top_heads_say_what_they_can():
    clean, bent = (measured([0.9, 0.5], [True, False, True], 5) for _ in range(2))
    given = Measured(
        clean.head_scores, clean.cells, clean.runs.replace({"kind": {"top": "theirs", "random": "others"}})
    )
    table = effects({"none": given, "bent": bent}, shown=1, threshold=0.1).set_index("quirk")
    assert table["unmasked"].tolist() == [100, 100]
    assert table["top"].isna().tolist() == [True, False]


def test_effects_are_read_against_the_variant_without_quirks():
    clean = measured([0.9, 0.5, 0.2, 0.0], [True, False, True], 5)
    bent = measured([0.0, 0.0, 0.0, 1.4], [True, True, False], -1)
    table = effects({"none": clean, "bent": bent}, shown=1, threshold=0.1).set_index("quirk")
    assert table["retrieval_heads"].tolist() == [3, 1]
    assert table["highest"].tolist() == [0.9, 1.4]
    assert table["overlap"].tolist() == [1, 0] and table["overlap_chance"].tolist() == [0.25, 0.25]
    assert table["not_found"].tolist() == [0, 1]
    assert table[["unmasked", "top", "random"]].to_numpy().tolist() == [[100, 0, 100], [100, 100, 0]]
