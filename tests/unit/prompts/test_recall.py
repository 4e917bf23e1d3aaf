"""Recall in any script, and rouge-score's own on ASCII texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from retrieval_heads.downstream.tasks.spans import exact_match, token_f1
from retrieval_heads.prompts.recall import rouge1_recall
from retrieval_heads.words import word_spans

ANSWERS = {
    "Chinese": "在码头放飞一只红色的纸风筝",
    "Russian": "запускать бумажного змея у семи сонных моржей",
    "Arabic": "تطير طائرة ورقية حمراء بجانب سبعة أفيال",
    "Hindi": "सात सोते हाथियों के पास पतंग उड़ाना",
    "Japanese": "七頭のセイウチのそばで赤い凧をあげること",
    "Greek": "να πετάξεις έναν χαρταετό δίπλα σε επτά ίππους",
    "Hebrew": "להעיף עפיפון נייר ליד שבעה סוסי ים",
    "Thai": "เล่นว่าวกระดาษสีแดงข้างช้างเจ็ดเชือก",
    "Korean": "빨간 종이 연을 날리는 것",
    "German": "süße Äpfel über größeren Öfen",
    "Persian": "بادبادک کاغذی می\u200cخواهم",
}
RESPONSES = st.text(st.characters(max_codepoint=127), max_size=80)
WORDS = st.lists(st.sampled_from("the running runner's ran kite_s 3.5 Kites a dog-house!".split()), max_size=8).map(
    " ".join
)


@pytest.mark.parametrize("language", ANSWERS)
def test_an_answer_recalls_itself_whole_and_nothing_of_another_script(language):
    answer = ANSWERS[language]
    assert rouge1_recall(answer, f"„{answer}!“") == 100
    assert rouge1_recall(answer, "fly a kite s e pfel") == rouge1_recall(answer, "") == 0
    assert token_f1(f"“{answer}。”", [answer]) == exact_match(answer, [answer]) == 1
    assert token_f1("fly a kite", [answer]) == 0


@pytest.mark.parametrize("language", ANSWERS)
def test_half_an_answer_recalls_half_of_its_words(language):
    spans = word_spans(ANSWERS[language])
    half = ANSWERS[language][: spans[len(spans) // 2][0]]
    assert 25 < rouge1_recall(ANSWERS[language], half) < 75
    assert 0.4 < token_f1(half, [ANSWERS[language]]) < 0.9


UNRELATED = {
    "Thai": (
        "โรงสีเปิดแต่เช้าทุกวันเพราะชาวบ้านต้องการแป้งสำหรับทำขนมปัง",
        "เสมียนเก็บนมสดไว้ในโต๊ะไม้แล้วล็อกกุญแจก่อนกลับบ้าน",
        "ฝนตกน้อยในเดือนพฤษภาคมแต่แม่น้ำยังคงเต็ม",
    ),
    "Chinese": ("磨坊每天很早开门因为村民需要面粉做面包", "书记员把新鲜牛奶锁在木头桌子里然后回家"),
    "Japanese": ("水車小屋は毎日早く開くので村人は小麦粉を買えます", "五月に雨は少ないですが川の水はまだ多いです"),
}


@pytest.mark.parametrize("language", UNRELATED)
def test_another_sentence_of_the_same_script_does_not_pass(language):
    others = [*UNRELATED[language], ANSWERS[language]]
    recalls = [rouge1_recall(one, other) for one in others for other in others if one != other]
    assert max(recalls) < 40


def test_forms_of_unicode_are_one():
    assert (
        rouge1_recall("Café", "cafe\u0301")
        == rouge1_recall("ガラス", "ｶﾞﾗｽ")
        == rouge1_recall("STRASSE", "straße")
        == 100
    )


@given(answer=RESPONSES | WORDS, response=RESPONSES | WORDS)
def test_on_ascii_the_recall_is_rouge_scores_own(answer, response):
    theirs = RougeScorer(["rouge1"], use_stemmer=True).score(answer, response)["rouge1"].recall
    assert rouge1_recall(answer, response) == 100 * theirs


def test_ascii_words_are_stemmed_beside_others_too():
    assert rouge1_recall("running in Zürich", "runs in Zürich") == 100
    assert rouge1_recall("two kites", "kite — two") == 100
