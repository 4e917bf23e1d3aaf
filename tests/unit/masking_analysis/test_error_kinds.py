"""Every kind of error by the rule that is written down, on responses whose kind is plain to see."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.masking_analysis.error_kinds import Source, label, label_runs
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.recall import rouge1_recall

HAYSTACK = "The mill opens early. Every clerk of the town keeps fresh milk in a locked desk. Rain is rare in May."
SOURCE = Source.of(HAYSTACK)
ANSWER = "fly a paper kite beside seven sleepy walruses"
OPENING = "The best thing to do in Ashgrove is"
NEEDLE = Needle("kite", f"{OPENING} {ANSWER}.", "What is the best thing to do in Ashgrove?", ANSWER, OPENING)


@pytest.mark.parametrize(
    ("response", "passed", "error"),
    [
        ("fly a paper kite beside seven sleepy walruses.", True, "complete"),
        ("fly a paper bird.", False, "incomplete"),
        ("keeps fresh milk in a locked desk", False, "wrong extraction"),
        ("fly to where every clerk of the town lives", False, "wrong extraction"),
        ("paper kite and seven walruses, rain is rare", False, "incomplete"),
        ("visit the silver lighthouse", False, "hallucination"),
        ("a the in of", False, "hallucination"),
        ("", False, "hallucination"),
    ],
)
def test_kinds(response, passed, error):
    assert label(response, NEEDLE, passed, SOURCE)["error"] == error


def test_the_place_of_a_wrong_extraction():
    found = label("I think: fresh milk, in a LOCKED desk!", NEEDLE, False, SOURCE)
    assert found["passage"] == 6
    words = HAYSTACK.lower().replace(".", "").split()
    assert found["place"] == pytest.approx(100 * words.index("fresh") / len(words))


def test_a_passage_at_the_end_of_the_haystack_ends_there():
    assert SOURCE.foreign_passage(["rare", "in", "may", "the"], set()) == (3, 18, 2)


def test_only_wrong_extractions_have_a_place():
    assert label("fly", NEEDLE, False, SOURCE)["place"] is None


def test_runs_keep_their_columns():
    runs = pd.DataFrame(
        {
            "head_set": ["unmasked", "top-5"],
            "needle": "kite",
            "haystack": "town",
            "response": [ANSWER, "the silver lighthouse"],
            "passed": [True, False],
        }
    )
    labelled = label_runs(runs, {"kite": NEEDLE}, {"town": SOURCE})
    assert list(labelled["error"]) == ["complete", "hallucination"]
    assert list(labelled.columns[:5]) == list(runs.columns)


ESSAY = Source.of(
    "The best thing to do in a startup is to talk to users. What is the best thing to do in San Francisco? I do not "
    "know, but eat a sandwich at noon. We were all on a sunny street and sat in the sun."
)
SANDWICH = Needle(
    "sandwich",
    "The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.",
    "What is the best thing to do in San Francisco?",
    "eat a sandwich and sit in Dolores Park on a sunny day",
    "",
)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ("The best thing to do in San Francisco is to eat a sandwich.", "incomplete"),
        ("The best thing to do in San Francisco is", "hallucination"),
        ("The best thing to do in San Francisco is to walk.", "hallucination"),
        ("What is the best thing to do in San Francisco?", "hallucination"),
        ("The best thing to do in San Francisco is to talk to users.", "wrong extraction"),
        ("The best thing is to eat a sandwich at noon.", "incomplete"),
        ("Dolores Park", "incomplete"),
    ],
)
def test_words_of_the_question_and_of_the_needle_are_no_extraction(response, error):
    assert label(response, SANDWICH, False, ESSAY)["error"] == error


UNSURE = Source.of(
    "I don't know. I did not know you, and I don't know what that is. Isn't it ours? They do not know who she was. "
    "Every clerk of the town keeps fresh milk."
)


@pytest.mark.parametrize(
    "response", ["I don't know.", "I don’t know what that is", "I do not know who she was.", "Isn't it ours?"]
)
def test_words_that_any_text_holds_are_no_extraction(response):
    assert label(response, SANDWICH, False, UNSURE)["error"] == "hallucination"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ("eating sandwiches", "incomplete"),
        ("sitting there", "incomplete"),
        ("they do that", "hallucination"),
        ("every clerk", "hallucination"),
        ("every clerk of the town", "wrong extraction"),
    ],
)
def test_words_are_stemmed_as_recall_stems_them(response, error):
    assert label(response, SANDWICH, False, UNSURE)["error"] == error
    assert (rouge1_recall(SANDWICH.answer, response) > 0) == (error == "incomplete")


LANGUAGES = {
    "Chinese": (
        Needle("x", "在海边最好的事是放飞红色的纸风筝。", "在海边最好的事是什么？", "放飞红色的纸风筝", ""),
        "磨坊很早就开门。书记员每天把新鲜牛奶锁在木头桌子里。",
        {"放飞红色的纸船": "incomplete", "书记员每天把新鲜牛奶": "wrong extraction", "去看电影": "hallucination"},
    ),
    "Japanese": (
        Needle(
            "x", "浜辺で一番いいのは赤い凧をあげることです。", "浜辺で一番いいのは何ですか？", "赤い凧をあげること", ""
        ),
        "水車小屋は早く開きます。書記は毎日新しい牛乳を机に入れます。",
        {"赤い凧": "incomplete", "書記は毎日新しい牛乳": "wrong extraction", "映画": "hallucination"},
    ),
    "Hindi": (
        Needle("x", "समुद्र पर सबसे अच्छा काम लाल पतंग उड़ाना है।", "समुद्र पर सबसे अच्छा काम क्या है?", "लाल पतंग उड़ाना", ""),
        "चक्की जल्दी खुलती है। बाबू ताज़ा दूध मेज़ में रखता है।",
        {"लाल झंडा": "incomplete", "बाबू ताज़ा दूध मेज़ में": "wrong extraction", "समुद्र पर सबसे अच्छा": "hallucination"},
    ),
    "Arabic": (
        Needle("x", "أفضل شيء عند البحر هو تطيير طائرة ورقية.", "ما أفضل شيء عند البحر؟", "تطيير طائرة ورقية", ""),
        "تفتح الطاحونة مبكرا. يضع الكاتب الحليب الطازج في المكتب.",
        {
            "طائرة كبيرة": "incomplete",
            "يضع الكاتب الحليب الطازج": "wrong extraction",
            "أفضل شيء عند البحر": "hallucination",
        },
    ),
    "Russian": (
        Needle("x", "Лучшее дело у моря — запускать змея.", "Какое лучшее дело у моря?", "запускать змея", ""),
        "Мельница открывается рано. Писарь прячет свежее молоко в стол.",
        {
            "поймать змея": "incomplete",
            "Писарь прячет свежее молоко": "wrong extraction",
            "лучшее дело у моря": "hallucination",
        },
    ),
    "Thai": (
        Needle("x", "สิ่งที่ดีที่สุดริมทะเลคือเล่นว่าวกระดาษ", "สิ่งที่ดีที่สุดริมทะเลคืออะไร", "เล่นว่าวกระดาษ", ""),
        "โรงสีเปิดแต่เช้า เสมียนเก็บนมสดไว้ในโต๊ะไม้ทุกวัน",
        {"ว่าวกระดาษ": "incomplete", "เสมียนเก็บนมสดไว้ในโต๊ะไม้": "wrong extraction", "หมู": "hallucination"},
    ),
}


@pytest.mark.parametrize(
    ("language", "response", "error"),
    [(language, *case) for language, (_, _, cases) in LANGUAGES.items() for case in cases.items()],
)
def test_kinds_in_other_scripts(language, response, error):
    needle, haystack, _ = LANGUAGES[language]
    assert label(response, needle, False, Source.of(haystack))["error"] == error
