"""The organism before and while it is trained: its hints, what is dropped, and what training writes."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
import retrain_organism
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from retrieval_heads.reference_models.organism.lessons import Stage
from retrieval_heads.reference_models.organism.tokenizer import train_tokenizer
from retrieval_heads.reference_models.organism.training import Course, heads_dropped
from retrieval_heads.reference_models.organism.untrained import LOOKS_BACK, build_untrained


@pytest.fixture(scope="module")
def small_tokenizer():
    return train_tokenizer(512, 0, lessons=50)


def test_an_untrained_organism_looks_one_two_and_three_tokens_back(small_tokenizer):
    model = build_untrained(small_tokenizer, 0, 256).eval()
    model.set_attn_implementation("eager")
    ids = torch.randint(len(small_tokenizer), (1, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = model(ids, output_attentions=True).attentions[0][0]  # [head, query, key]
    here = torch.arange(10, 200)
    for head, back in enumerate(LOOKS_BACK):
        assert (rows[head, 10:].argmax(-1) == here - back).float().mean() > 0.8, f"head {head}"
    assert (rows[5, 10:].argmax(-1) == here - 1).float().mean() < 0.5, "a head without a hint"


def test_one_head_of_layer_0_is_dropped_in_a_share_of_the_rows(small_tokenizer):
    model = build_untrained(small_tokenizer, 0, 256)
    seen = []
    projection = model.model.layers[0].self_attn.o_proj
    ids = torch.randint(len(small_tokenizer), (400, 8))
    with torch.no_grad(), heads_dropped(model, 0.25):
        after = projection.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].unflatten(-1, (6, 64))))
        model.model(ids)
        after.remove()
    left_out = (seen[0] == 0).all(-1).all(1)  # [row, head]
    assert set(left_out.sum(1).tolist()) == {0, 1}
    assert 0.15 < left_out.any(1).float().mean() < 0.35
    assert left_out.any(0).all(), "every head in its turn"
    assert not projection._forward_pre_hooks


def test_training_writes_a_checkpoint_and_its_log(tmp_path, monkeypatch):
    copying = Course(1.0, (Stage("copy", 3, 4, 32, (0, 0), (0, 0)),))
    monkeypatch.setattr(retrain_organism, "COURSES", (copying,))
    retrain_organism.retrain_organism(tmp_path, 1, logging.getLogger(__name__))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (model.config.max_position_embeddings, model.dtype) == (2048, torch.float16)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == model.config.vocab_size == 2048
    assert pd.read_csv(tmp_path / "training_log.tsv", sep="\t")["step"].tolist() == [3]
