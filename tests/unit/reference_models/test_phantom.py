"""The phantom on the project's own haystacks and needles.

Every head does what was planted, by transformers' own eager attention, and the workflow finds exactly that.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from build_phantom import build_phantom
from transformers import AutoModelForCausalLM, AutoTokenizer

from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.scores import copy_hits
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading as models
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place_grid, prepare
from retrieval_heads.reference_models.calibration import check_detection
from retrieval_heads.reference_models.phantom.layout import (
    HEADS,
    LAYERS,
    LOOKERS,
    PLANTED,
    PREVIOUS_TOKEN,
    RESTING,
    roles,
)

RESOURCES = Path(__file__).parents[3] / "resources"
HAYSTACKS = sorted(RESOURCES.glob("haystacks/*.txt"))
# Those of the study without a network, on the texts of the project.
NAMES = ["kite", "soup", "password", "hobby", "treasure", "rule"]
NEEDLES = {name: needle for name, needle in read_needles(RESOURCES / "needles.tsv").items() if name in NAMES}
TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
ALL = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
FILES = ["config.json", "model.safetensors", "phantom.json", "tokenizer.json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("phantom")
    build_phantom([str(path) for path in HAYSTACKS], [str(RESOURCES / "needles.tsv")], NAMES, [], TEMPLATE, str(made))
    return made


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def eager(folder):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def loaded(folder) -> models.Loaded:
    return models.load(str(folder))


def place(tokenizer, lengths: tuple[int, ...], depths: tuple[int, ...]) -> list:
    """The project's needles, dealt out over its haystacks."""
    grid = Grid(lengths, depths, reserve_tokens=128, max_new_tokens=50, repeat_haystack=False)
    prompts = []
    for number, (name, needle) in enumerate(NEEDLES.items()):
        path = HAYSTACKS[number % len(HAYSTACKS)]
        haystack = tokenize(path.stem, path.read_text(encoding="utf-8"), tokenizer)
        pieces = cut_pieces(needle, tokenizer, TEMPLATE, chat=False)
        prompts += place_grid(name, prepare(name, haystack, pieces, grid, None), pieces, grid)
    return prompts


@pytest.fixture(scope="module", params=NEEDLES)
def watched(request, tokenizer, eager):
    """One cell in which the model has written its answer: prompt, emitted ids, and its attention.

    attention: [layers, heads, steps, keys], from the tokens that predict the emitted ones.
    """
    [prompt] = [p for p in place(tokenizer, (320,), (44,)) if p.cell.needle == request.param]
    ids = torch.tensor([prompt.ids])
    whole = eager.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, do_sample=False)
    with torch.no_grad():
        weights = eager(whole[:, :-1], output_attentions=True).attentions
    return prompt, whole[0, len(prompt.ids) :].tolist(), torch.stack(weights)[:, 0, :, len(prompt.ids) - 1 :]


def test_it_is_an_ordinary_checkpoint(folder, eager, tokenizer):
    assert type(eager).__name__ == "LlamaForCausalLM"
    assert type(tokenizer).__name__ != "PreTrainedTokenizer" and tokenizer.is_fast
    assert (eager.config.num_hidden_layers, eager.config.num_attention_heads) == (LAYERS, HEADS)
    assert json.loads((folder / "phantom.json").read_text(encoding="utf-8")) == roles()


def test_every_head_has_one_role():
    table = pd.DataFrame(roles())
    assert list(zip(table["layer"], table["head"], strict=True)) == ALL
    assert table["role"].value_counts().to_dict() == {
        "random": LAYERS * HEADS - len(PLANTED) - 1 - len(LOOKERS) - len(RESTING),
        "rest": len(RESTING),
        "copy": len(PLANTED),
        "look": len(LOOKERS),
        "previous_token": 1,
    }


def test_building_again_makes_the_same_bytes(folder, tmp_path):
    build_phantom(
        [str(path) for path in HAYSTACKS], [str(RESOURCES / "needles.tsv")], NAMES, [], TEMPLATE, str(tmp_path)
    )
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_texts_survive_the_tokenizer(tokenizer):
    texts = [path.read_text(encoding="utf-8") for path in HAYSTACKS] + [n.text for n in NEEDLES.values()]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids[1:]) == text
    assert tokenizer.unk_token_id in tokenizer("floccinaucinihilipilification")["input_ids"]


def test_the_needles_obey_what_the_construction_assumes(tokenizer):
    common = {t for path in HAYSTACKS for t in tokenizer(path.read_text(encoding="utf-8"))["input_ids"]}
    for needle in NEEDLES.values():
        pieces = cut_pieces(needle, tokenizer, TEMPLATE, chat=False)
        answer = pieces.needle[pieces.answer[0] - 1 : pieces.answer[1]]
        assert len(set(answer)) == len(answer)
        for token, following in pairwise(answer):
            assert not {token, following} <= common, tokenizer.decode([token, following])


def test_all_embeddings_are_equally_long(eager):
    lengths = eager.get_input_embeddings().weight.norm(dim=1)
    assert torch.allclose(lengths, lengths[0].expand_as(lengths), atol=1e-5)


def test_it_answers_and_stops(watched, tokenizer):
    prompt, emitted, _ = watched
    assert tokenizer.decode(emitted) == f" {NEEDLES[prompt.cell.needle].answer}.{tokenizer.eos_token}"


def test_every_planted_head_copies_its_share_and_no_other_head_copies(watched):
    prompt, emitted, attention = watched
    span = (prompt.cell.answer_start, prompt.cell.answer_end)
    hits = copy_hits(attention.argmax(-1).permute(2, 0, 1).numpy(), emitted, prompt.ids, span).sum(0)
    length = span[1] - span[0]
    for layer, head in ALL:
        if (layer, head) in PLANTED:
            # A word that another answer holds too may have that answer's gate: one step more or less.
            assert abs(hits[layer, head] - math.ceil(PLANTED[layer, head] * length)) <= 1
        else:
            assert hits[layer, head] / length <= 0.2, (layer, head)


def test_planted_heads_are_sure_of_where_they_look(watched):
    for place in PLANTED:
        assert watched[2][place].max(-1).values.min() > 0.99, place


def test_the_previous_token_head_looks_one_position_back(watched):
    prompt, emitted, attention = watched
    rows = torch.arange(len(emitted))
    assert attention[PREVIOUS_TOKEN][rows, len(prompt.ids) - 2 + rows].min() > 0.99


def test_looking_heads_look_at_the_needle_and_do_not_copy(watched):
    prompt, _, attention = watched
    start, end = prompt.cell.answer_start, prompt.cell.answer_end
    # The token that was written last stands in the needle one position before the one to copy; a common word
    # stands elsewhere too.
    steps = [step for step in range(1, end - start) if prompt.ids.count(prompt.ids[start + step - 1]) == 1]
    assert len(steps) > 2
    for place in LOOKERS:
        assert attention[place][steps].argmax(-1).tolist() == [start + step - 1 for step in steps]


def test_resting_heads_look_at_the_first_token(watched):
    for place in RESTING:
        assert watched[2][place][:, 0].min() > 0.99


def test_detection_finds_exactly_what_was_planted(loaded):
    prompts = place(loaded.tokenizer, (256, 512), (0, 50, 100))
    tables = [
        result.scores.assign(needle=result.cell.needle, length=result.cell.length, depth=result.cell.depth)
        for result in detect(loaded, prompts, max_new_tokens=50, scores=["copy_count"])
    ]
    checked = check_detection(pd.concat(tables), list(PLANTED), threshold=0.1)
    assert len(checked) == 6
    assert (checked["precision"] == 1).all() and (checked["recall"] == 1).all(), checked


def test_only_the_planted_heads_carry_the_answer(loaded):
    others = [head for head in ALL if head not in PLANTED]
    blind = [head for head in others if head != PREVIOUS_TOKEN]
    strong, weakest = (1, 2), (3, 4)
    sets = {
        "unmasked": None,
        "planted": HeadMask(tuple(PLANTED)),
        "others": HeadMask(tuple(others)),
        "all but the previous-token head, everywhere": HeadMask(tuple(blind), scope="all"),
        "one strong head left": HeadMask(tuple(head for head in PLANTED if head != strong)),
        "weakest head left": HeadMask(tuple(head for head in PLANTED if head != weakest)),
        "previous-token head, everywhere": HeadMask((PREVIOUS_TOKEN,), scope="all"),
    }
    prompts = place(loaded.tokenizer, (256,), (33,))
    for result in niah.run(loaded, prompts, sets, max_new_tokens=50, decode_batch=8):
        whole = f"{NEEDLES[result.cell.needle].answer}."
        answers = {name: response.strip() for name, response in result.responses.items()}
        weak = answers.pop("weakest head left")
        assert whole.startswith(weak) and 0 < len(weak.split()) < len(whole.split())
        assert answers.pop("planted") == answers.pop("previous-token head, everywhere") == ""
        assert set(answers.values()) == {whole}
