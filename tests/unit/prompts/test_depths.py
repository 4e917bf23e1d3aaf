"""Where needles come to stand in texts of any script, and in texts without sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest

from retrieval_heads.prompts.haystacks import Haystack, load, repeated, save, tokenize
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import (
    LONGEST_SENTENCE,
    Grid,
    as_row,
    assemble,
    cut_pieces,
    insertion_point,
    misses,
    place_grid,
)
from unit.tokenizers_at_hand import TEMPLATE, tokenizer

# Own sentences, and what ends them.
SENTENCES = {
    "Chinese": ("磨坊很早就开门。", "书记员把牛奶锁在桌子里！", "五月很少下雨吗？", "他说：“走吧。”"),
    "Japanese": ("水車小屋は早く開きます。", "五月に雨は降りますか？", "「行こう。」", "牛乳は机の中です！"),
    "Hindi": ("चक्की जल्दी खुलती है। ", "मई में बारिश कम होती है। ", "क्या दूध मेज़ में है? "),
    "Arabic": ("تفتح الطاحونة مبكرا. ", "هل يهطل المطر في مايو؟ ", "الحليب في المكتب! "),
    "Urdu": ("چکی جلدی کھلتی ہے۔ ", "مئی میں بارش کم ہوتی ہے۔ "),
    "Armenian": ("Ջրաղացը շուտ է բացվում։ ", "Կաթը սեղանի մեջ է։ "),
    "Russian": ("Мельница открывается рано. ", "В мае редко идёт дождь! ", "Он сказал: «Пойдём?» "),
    "Greek": ("Ο μύλος ανοίγει νωρίς. ", "Τον Μάιο βρέχει σπάνια. "),
    "Burmese": ("ကြိတ်စက်သည် စောစောဖွင့်သည်။ ", "မေလတွင် မိုးနည်းသည်။ "),
    "Amharic": ("ወፍጮው ቀደም ብሎ ይከፈታል። ", "በግንቦት ዝናብ ብርቅ ነው። "),
    "English": ("The mill opens early. ", 'He said: "Go!" ', "Rain is rare (in May.) ", "Is it 3.5 miles? "),
}
WITHOUT_STOPS = {
    "code": "def f(x):\n    return x + 1\n\nfor i in range(10):\n    print(f(i))\n\n",
    "verse": "the mill is early and the milk is cold\nthe clerk is late and all the books are sold\n",
    "json": '{"name": "mill", "open": [6, 7, 8], "milk": null}, ',
    "Thai": "โรงสีเปิดแต่เช้า เสมียนเก็บนมไว้ในโต๊ะ ",
    "Chinese verse": "磨坊早开门，牛奶锁桌里，\n书记员迟到，五月雨稀稀，\n",
}
NEEDLE = Needle("kite", "The best thing to do is fly a kite.", "What is best?", "fly a kite", "")
READERS = ["sentencepiece-v1", "sentencepiece-v3", "tekken"]
GRID = Grid((700, 1500), (0, 25, 50, 75, 100), 128, 50, False)


def placed(text: str, name: str):
    """The rows of the placement table of one needle in a text, and the prompts."""
    tok = tokenizer(name)
    pieces = cut_pieces(NEEDLE, tok, TEMPLATE, chat=False)
    prompts = list(place_grid("kite", tokenize("own", text, tok), pieces, GRID))
    return [as_row(prompt.cell, pieces) for prompt in prompts], prompts, pieces


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_end_in_every_script(language, name):
    sentences = SENTENCES[language]
    found = tokenize("own", "".join(sentences * 3), tokenizer(name))
    assert len(found.sentence_ends) == 3 * len(sentences)
    for end, sentence in zip(found.sentence_ends, sentences * 3, strict=True):
        assert tokenizer(name).decode(found.ids[:end]).rstrip().endswith(sentence.strip())


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("language", SENTENCES)
def test_needles_stand_between_sentences_near_their_depths(language, name):
    rows, prompts, _ = placed("".join(SENTENCES[language] * 400), name)
    for row, prompt in zip(rows, prompts, strict=True):
        assert abs(row["depth_reached"] - row["depth"]) < 10
        before = tokenizer(name).decode(prompt.ids[1 : row["needle_start"]], skip_special_tokens=True).rstrip()
        if 0 < row["depth"] < 100:
            assert before.endswith(tuple(sentence.strip() for sentence in SENTENCES[language]))
    assert misses(rows) == ""


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", WITHOUT_STOPS)
def test_without_sentence_ends_a_needle_stands_at_its_depth(kind, name):
    rows, prompts, _ = placed(WITHOUT_STOPS[kind] * 200, name)
    assert all(abs(row["depth_reached"] - row["depth"]) < 1 for row in rows)
    for prompt in prompts:
        cell = prompt.cell
        for part in (prompt.ids[: cell.needle_start], prompt.ids[cell.needle_end :]):
            if cell.depth < 100:
                assert "\ufffd" not in tokenizer(name).decode(part)[:-1], "no character is split by the needle"


def test_the_depth_that_was_reached_is_told_and_far_misses_are_said():
    rows, _, _ = placed(("word " * 110 + "end. ") * 60, "tekken")
    asked = {(row["length"], row["depth"]): (row["depth_reached"], row["far_from_depth"]) for row in rows}
    assert asked[1500, 0] == (0, False)
    assert asked[1500, 100] == (100, False)
    assert all(far == (abs(reached - depth) > 10) for (_, depth), (reached, far) in asked.items())
    assert any(far for _, far in asked.values())
    count = sum(row["far_from_depth"] for row in rows)
    assert misses(rows).startswith(f"In {count} of 10 cells the needle stands more than 10 points from its depth")
    assert "'kite' at length 700 was asked for at" in misses(rows)


def test_a_long_stretch_without_stops_inside_a_text_is_cut_at_the_depth():
    straw = Haystack(
        "x", np.ones(1000, dtype=int), np.array([10, 40, 40 + LONGEST_SENTENCE, 600, 620]), np.array([300, 301])
    )
    assert [insertion_point(straw, 1000, depth) for depth in (0, 1, 3, 10, 30, 61)] == [0, 10, 10, 40, 302, 600]
    assert insertion_point(straw, 1000, 60) == 600
    assert insertion_point(straw, 1000, 100) == 1000


def test_characters_in_several_tokens_survive_files_and_repetition(tmp_path):
    tok = tokenizer("sentencepiece-v1")
    straw = tokenize("own", "磨坊早开门，牛奶锁桌里", tok)
    split = set(straw.split_characters.tolist())
    assert split, "a character that this tokenizer spells in bytes"
    for place in range(1, len(straw.ids)):
        assert ("\ufffd" in tok.decode(straw.ids[:place])) == (place in split)
    save(tmp_path / "h.npz", {"own": straw})
    again = load(tmp_path / "h.npz")["own"]
    assert [again.split_characters.tolist(), again.ids.tolist()] == [sorted(split), straw.ids.tolist()]
    twice = repeated(straw, len(straw.ids) + 1).split_characters.tolist()
    assert twice == sorted(split) + [place + len(straw.ids) for place in sorted(split)]


def test_a_table_with_the_depths_gives_the_prompts_back():
    tok = tokenizer("tekken")
    text = WITHOUT_STOPS["code"] * 200
    rows, prompts, pieces = placed(text, "tekken")
    stored = json.loads(
        json.dumps({"kite": {name: list(getattr(pieces, name)) for name in ("head", "needle", "tail", "answer")}})
    )
    assert assemble(rows, {"own": tokenize("own", text, tok)}, stored) == prompts
