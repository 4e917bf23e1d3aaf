"""The organism: nothing of the evaluation is in its training text, and its training is what the seed says."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.reference_models.organism.corpus import Author
from retrieval_heads.reference_models.organism.lessons import IGNORED, Lessons, Stage
from retrieval_heads.reference_models.organism.tokenizer import train_tokenizer
from retrieval_heads.reference_models.organism.training import COURSES, Course, train
from retrieval_heads.reference_models.organism.untrained import build_untrained
from unit.tokenizers_at_hand import ROOT, tokenizer

# Those of the study without a network.
NAMES = ("kite", "soup", "password", "hobby", "treasure", "rule")
NEEDLES = [needle for name, needle in read_needles(ROOT / "resources/needles.tsv").items() if name in NAMES]


@cache
def training_text() -> str:
    """As many lessons as a fifth of the training reads, from its own seed."""
    author = Author(0)
    lessons = [author.lesson(author.random.randint(0, 400), 3, 2) for _ in range(3000)]
    asked = [f"{q.question} {q.cue} {q.answer}." for lesson in lessons for q in lesson.questions]
    return "\n".join([lesson.context for lesson in lessons] + asked)


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z']+", text)


def triples(text: str) -> set[tuple[str, str, str]]:
    return set(zip(*(words(text.lower())[shift:] for shift in range(3)), strict=False))


@cache
def training_triples() -> set[tuple[str, str, str]]:
    return triples(training_text())


@pytest.mark.parametrize("needle", NEEDLES, ids=lambda needle: needle.needle)
def test_needles_places_and_answers_are_never_seen_in_training(needle):
    place = next(word for word in words(needle.cue)[::-1] if word[0].isupper())
    assert place not in set(words(training_text()))
    assert needle.text not in training_text()
    assert not triples(needle.answer) & training_triples(), "no three words in a row of an answer"


@pytest.mark.parametrize("path", sorted((ROOT / "resources/haystacks").glob("*.txt")), ids=lambda path: path.stem)
def test_haystacks_are_never_seen_in_training(path):
    sentences = set(re.split(r"(?<=\.)\s", path.read_text(encoding="utf-8").strip()))
    assert len(sentences) > 500
    assert not sentences & set(re.split(r"(?<=[.!?])\s", training_text()))


def test_haystacks_are_what_their_grammars_write(tmp_path):
    from write_haystacks import RESOURCES, write_text
    from yaml import safe_load

    for grammar in (RESOURCES / "grammars").glob("*.yaml"):
        text = write_text(safe_load(grammar.read_text(encoding="utf-8")), seed=grammar.stem)
        assert text == (RESOURCES / f"haystacks/{grammar.stem}.txt").read_text(encoding="utf-8")


def test_the_checkpoint_is_small_ordinary_and_has_its_card_and_log():
    folder = ROOT / "resources/models/organism"
    config = json.loads((folder / "config.json").read_text())
    assert (config["architectures"], config["max_position_embeddings"]) == (["LlamaForCausalLM"], 2048)
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= 8e6
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}
    tok = AutoTokenizer.from_pretrained(folder)
    assert tok("A kite.")["input_ids"][0] == config["bos_token_id"]
    log = (folder / "training_log.tsv").read_text().splitlines()
    assert log[0].split("\t") == ["step", "tokens", "stage", "context_tokens", "loss", "answer_tokens_right", "seconds"]
    assert int(log[-1].split("\t")[0]) == sum(course.steps for course in COURSES)
    assert (folder / "README.md").read_text().startswith("# Model card")


PAGES = Stage("pages", 2, 4, 190, (0, 20), (1, 2), quotes=2, decoys=3, dropped=0.5)
SHORT = (Course(1.0, (Stage("copy", 2, 4, 32, (0, 0), (0, 0)),)), Course(0.5, (PAGES,)))


def losses(seed: int) -> list[float]:
    torch.manual_seed(1)
    tok = train_tokenizer(512, seed, lessons=50)
    return [row["loss"] for row in train(build_untrained(tok, seed, 256), tok, seed, SHORT)]


def test_training_follows_from_the_seed():
    first = losses(0)
    assert first == losses(0)
    assert first != losses(1)


def test_targets_are_the_hidden_sentence_and_the_end(tmp_path):
    tok = tokenizer("organism")
    lessons = Lessons(tok, seed=3)
    ids, targets = lessons.batch(PAGES)
    for row, wanted in zip(ids, targets, strict=True):
        learned = wanted != IGNORED
        assert torch.equal(wanted[:-1][learned[:-1]], row[1:][learned[:-1]])
        learned_text = tok.decode(wanted[learned])
        *answers, _ = learned_text.split(tok.eos_token)
        assert answers
        for answer in answers:
            assert tok.decode(row).count(answer.strip()) >= 2, "the answer stands in the book as well"
        text = row[: learned.nonzero()[0]].tolist()
        for quote in _runs(learned)[len(answers) :]:
            said = wanted[quote].tolist()
            assert any(text[i : i + len(said)] == said for i in range(len(text))), "a quote stands in the book"


def _runs(learned: torch.Tensor) -> list[torch.Tensor]:
    """The stretches of learned positions, in order."""
    places = learned.nonzero().flatten()
    breaks = (places.diff() > 1).nonzero().flatten() + 1
    return list(torch.tensor_split(places, breaks.tolist()))
