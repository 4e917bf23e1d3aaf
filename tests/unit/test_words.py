"""Words in many scripts, and where one text stands in another."""

from __future__ import annotations

import pytest

from retrieval_heads.words import characters_a_word, comparable, places, split_words, stands_in, word_spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Isn't snake_case 3.5 fun?", ["isn", "t", "snake", "case", "3", "5", "fun"]),
        ("süße Äpfel", ["süsse", "äpfel"]),
        ("红色的风筝，好！", ["红", "色", "的", "风", "筝", "好"]),
        ("ﾗｰﾒﾝを3杯", ["ラ", "ー", "メ", "ン", "を", "3", "杯"]),
        ("दिल्ली में सोना।", ["दिल्ली", "में", "सोना"]),
        ("كتابٌ أحمر؟", ["كتابٌ", "أحمر"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("ירושלים של זהב", ["ירושלים", "של", "זהב"]),
        ("ปี ๒๕๖๗", ["ปี", "๒๕๖๗"]),
        ("Ёлка под мостом", ["ёлка", "под", "мостом"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("서울에서 만나요", ["서울에서", "만나요"]),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize("text", ["Äpfel, süß", "か\u3099き", "दिल्ली", "می\u200cخواهم", "Thai: ปี"])
def test_spans_hold_the_words(text):
    assert [split_words(text[start:end]) for start, end in word_spans(text)] == [[word] for word in split_words(text)]


@pytest.mark.parametrize(
    ("part", "text", "found"),
    [
        ("red", "the predicted red, redder red", [14, 26]),
        ("eleven", "eleven chimes, pier eleven", [0, 20]),
        ("风筝", "一只红风筝在飞", [3]),
        ("क", "कि क", [3]),
        ("е", "ёлка е\u0308 е", [8]),
        ("$5", "cost $5.", [5]),
        ("5", "costs 3.5 of 5,7 or 5.", [20]),
        ("3.5", "13.5 or 3.5", [8]),
        ("خواهم", "من می\u200cخواهم خواهم", [12]),
        ("red", "red\u00ad, red\u00addish", [0]),
    ],
)
def test_places_are_those_of_whole_words(part, text, found):
    assert list(places(part, text)) == found


def test_texts_are_compared_without_case_line_breaks_and_forms():
    text = comparable("Eat a\r\n  Sandwich and that cafe\u0301")
    assert stands_in(comparable("a sandwich AND"), text)
    assert stands_in(comparable("café"), text)
    assert not stands_in(comparable("hat"), text)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("放飞红色风筝", "去放飞红色\n风筝吧"),
        ("ว่าวกระดาษ", "เล่นว่าว\nกระดาษ"),
        ("seven o'clock", "at seven o’clock sharp"),
        ("twenty-one kites", "he had twenty\u2011one kites"),
        ("eat a sandwich and sit", "Eat a sandwich, and sit down."),
        ('"red" kite', "a “red” _kite_"),
        ("3.5 pears", "he ate 3.5 Pears."),
    ],
)
def test_an_answer_is_seen_through_other_punctuation_and_line_breaks(answer, text):
    assert stands_in(comparable(answer), comparable(text))


@pytest.mark.parametrize(
    ("answer", "text"),
    [("5", "costs 3.5 euros"), ("3.5", "3, 5 or 35"), ("خواهم", "می\u200cخواهم"), ("...", "one... two")],
)
def test_a_part_of_a_word_or_a_number_is_not_seen(answer, text):
    assert not stands_in(comparable(answer), comparable(text))


def test_how_many_characters_make_a_word():
    assert [characters_a_word(word) for word in ("red", "äpfel", "红", "の", "ปี", "दिल्ली")] == [1, 1, 2, 2, 4, 1]
