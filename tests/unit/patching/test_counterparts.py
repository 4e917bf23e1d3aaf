"""Counterparts: token for token in the needle's place, in the words of the user or of needles of one template."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import asdict, replace

import pytest
import yaml
from choose_counterparts import choose_counterparts

from retrieval_heads.config.validation import ConfigError, checked, read_schema
from retrieval_heads.patching.candidates import candidates, counterpart_faults
from retrieval_heads.patching.counterparts import CounterpartError, answer_ids, counterpart_prompt, match_counterpart
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import Needle, NeedleError, read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place_grid
from retrieval_heads.words import comparable
from unit.tokenizers_at_hand import ROOT, TEMPLATE, tokenizer

NEEDLES = read_needles(ROOT / "resources/needles.tsv")
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")
PLAIN = "The colour of {town} is {colour}."


def of_town(name: str, town: str, colour: str, **more) -> Needle:
    question = f"What is the colour of {town}?"
    return Needle(name, PLAIN.format(town=town, colour=colour), question, colour, "", **more)


# The needles of the default study are matched for its real model, those of the study without a network for both of its.
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["masked"]["needles"]
MATCHED = [
    (name, needle.needle)
    for needle in NEEDLES.values()
    if needle.counterpart
    for name in ("phantom", *(() if needle.needle in DEFAULT else ("organism",)))
]


@pytest.mark.parametrize(("name", "needle"), MATCHED)
def test_the_needles_of_the_project_have_counterparts(name, needle):
    """In a prompt: every token stands where it stood, and only those of the answer are others."""
    tok, own = tokenizer(name), NEEDLES[needle]
    pieces = cut_pieces(own, tok, TEMPLATE, chat=False)
    found = match_counterpart(own, candidates(own, NEEDLES, 0), tok, pieces)
    straw = tokenize("town", (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8"), tok)
    for prompt in place_grid(needle, straw, pieces, Grid((300,), (0, 50, 100), 128, 50, False)):
        other = counterpart_prompt(prompt, found)
        assert other.cell == prompt.cell and len(other.ids) == len(prompt.ids)
        changed = [at for at, (a, b) in enumerate(zip(prompt.ids, other.ids, strict=True)) if a != b]
        assert changed and set(changed) <= set(range(prompt.cell.answer_start, prompt.cell.answer_end))
        assert tok.decode(answer_ids(other)).strip() == found.answer
        assert other.key("x") != prompt.key("x")


def test_the_first_counterpart_of_as_many_tokens_is_taken():
    tok, needle = tokenizer("phantom"), NEEDLES["rule"]
    pieces = cut_pieces(needle, tok, TEMPLATE, chat=False)
    answers = ["walruses must fly", "walruses must fly behind yellow accordions", "seven tiny shells behind the town"]
    assert match_counterpart(needle, answers, tok, pieces).answer == answers[1]


def test_answers_that_do_not_fit_are_refused_by_name():
    tok, needle = tokenizer("phantom"), NEEDLES["rule"]
    pieces = cut_pieces(needle, tok, TEMPLATE, chat=False)
    with pytest.raises(CounterpartError) as error:
        match_counterpart(needle, ["walruses must fly", "walruses must fly behind yellow zyxwv"], tok, pieces)
    assert "no counterpart of needle 'rule' has the 6 tokens of its answer 'students must" in str(error.value)
    assert "'walruses must fly' has 3; 'walruses must fly behind yellow zyxwv' is not what its tokens decode to" in str(
        error.value
    )
    assert "Write another answer of 6 tokens into its column `counterpart`" in str(error.value)


def test_a_counterpart_that_moves_the_tokens_around_it_is_refused():
    """The organism's pieces: with 'a' for 'an' the sentence in front is another."""
    tok = tokenizer("organism")
    needle = replace(NEEDLES["rule"], text="A rule: students juggle.", answer="students", question="What?", cue="")
    pieces = cut_pieces(needle, tok, TEMPLATE, chat=False)
    shifted = replace(pieces, needle=(5, *pieces.needle[1:]))
    with pytest.raises(CounterpartError, match="'students' changes the tokens of the sentence around it"):
        match_counterpart(needle, ["students"], tok, shifted)


def test_needles_of_one_template_are_counterparts_of_each_other():
    table = {
        name: of_town(name, town, colour)
        for name, town, colour in [("a", "Ilford", "red"), ("b", "Ilford", "green"), ("c", "Ilford", "blue")]
    } | {"d": of_town("d", "Hove", "grey")}
    assert sorted(candidates(table["a"], table, 0)) == ["blue", "green"]
    assert candidates(table["d"], table, 0) == []
    orders = {tuple(candidates(table["a"], table, seed)) for seed in range(8)}
    assert len(orders) == 2 and candidates(table["a"], table, 3) == candidates(table["a"], table, 3)
    assert candidates(replace(table["a"], counterpart="pink | light grey"), table, 0) == ["pink", "light grey"]


def test_the_column_may_be_left_out(tmp_path):
    table = tmp_path / "needles.tsv"
    table.write_text("needle\ttext\tquestion\tanswer\tcue\na\tThe sky is blue.\tWhat is the sky?\tblue\t\n")
    assert read_needles(table)["a"].counterpart == ""
    table.write_text("needle\ttext\tquestion\tanswer\tcue\tother\na\tThe sky is blue.\tWhat?\tblue\t\tred\n")
    with pytest.raises(NeedleError, match="expected the columns needle text question answer cue, and maybe"):
        read_needles(table)


def test_a_counterpart_stands_in_a_text_as_whole_words_over_line_breaks_and_case():
    needle = of_town("a", "Ilford", "red")
    text = {"book": comparable("That is a Green\nkite.")}
    assert list(counterpart_faults(needle, ["hat", "een"], "needles.tsv", text)) == []
    [fault] = counterpart_faults(needle, ["green kite"], "needles.tsv", text)
    assert fault.startswith("patched: needle 'a' of 'needles.tsv': its counterpart 'green kite' already stands in 'boo")
    table = {"a": needle, "b": of_town("b", "Ilford", "Red"), "c": of_town("c", "Ilford", "blue")}
    assert candidates(needle, table, 0) == ["blue"]


def test_the_texts_of_a_package_are_looked_through_by_the_job(tmp_path):
    """No text of a package is at hand when the config is checked."""
    needle, tok = NEEDLES["rule"], tokenizer("organism")
    pieces, book, output = tmp_path / "pieces.json", tmp_path / "book.txt", tmp_path / "counterparts.json"
    pieces.write_text(json.dumps({"rule": asdict(cut_pieces(needle, tok, TEMPLATE, chat=False))}))
    told = [ROOT / "resources/needles.tsv", [book], pieces, ROOT / "resources/models/organism", 0, output]
    book.write_text("Nothing of it.")
    choose_counterparts(*told, logging.getLogger())
    found = json.loads(output.read_text())["rule"]["answer"]
    book.write_text(f"They say that {found.upper()}.")
    with pytest.raises(CounterpartError, match=rf"its counterpart '{found}' already stands in '.*book\.txt'; write"):
        choose_counterparts(*told, logging.getLogger())


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(yaml.safe_load((ROOT / "config/offline.yaml").read_text(encoding="utf-8")))


def full(config: dict, **part) -> dict:
    return checked({**config, "patched": part}, SCHEMA, lambda path: str(ROOT / path), ["results/models/phantom"])


def test_the_part_is_filled_with_defaults_or_stays_away(config):
    assert full(config)["patched"] == {
        "models": None,
        "what": ["outputs"],
        "directions": ["denoising", "noising"],
        "seed": 0,
    }
    plain = checked(config, SCHEMA, lambda path: str(ROOT / path), ["results/models/phantom"])
    assert "patched" not in plain


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("", "patched: needle 'rule' of '.*' has no counterpart; write another answer of as many tokens"),
        (
            "Students must juggle  coconuts during rehearsal.",
            "needle 'rule' of '.*': its counterpart '.*' says nothing",
        ),
        ("walruses | The", "needle 'rule' of '.*': its counterpart 'The' already stands in '.*herbal.txt'"),
        ("...", "needle 'rule' of '.*': its counterpart '...' says nothing else; write another answer there"),
    ],
)
def test_needles_that_cannot_be_patched_stop_before_any_job(config, tmp_path, column, message):
    text = (ROOT / "resources/needles.tsv").read_text(encoding="utf-8")
    table = tmp_path / "needles.tsv"
    table.write_text(text.replace("walruses must fly behind yellow accordions", column), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        full({**config, "needles": str(table)})
    assert checked({**config, "needles": str(table)}, SCHEMA, lambda path: str(ROOT / path), ["results/models/phantom"])


def test_a_model_that_does_not_run_is_named(config):
    with pytest.raises(ConfigError, match=r"patched\.models: 'lama' is not under models; it has phantom, organism"):
        full(config, models=["lama"])
