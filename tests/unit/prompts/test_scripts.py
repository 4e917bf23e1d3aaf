"""Needles and haystacks of five languages, from the table to the label of a response, in real tokenizers."""

from __future__ import annotations

import pytest

from retrieval_heads.downstream.tasks.spans import token_f1
from retrieval_heads.masking_analysis.error_kinds import Source, label
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import COLUMNS, read_needles
from retrieval_heads.prompts.placement import Grid, as_row, cut_pieces, place_grid, prepare
from retrieval_heads.prompts.recall import passes, rouge1_recall
from retrieval_heads.sources.text_files import read_text
from unit.prompts.test_depths import SENTENCES
from unit.tokenizers_at_hand import TEMPLATE, tokenizer

# text, question, answer, cue; the answer of the last row stands twice in its text.
NEEDLES = {
    "Chinese": [
        ("在海边最好的事是放飞七只红色纸风筝。", "在海边最好的事是什么？", "放飞七只红色纸风筝", "在海边最好的事是"),
        ("七点以后，渡轮的码头是七。", "渡轮的码头是几号？", "七", "渡轮的码头是"),
    ],
    "Russian": [
        ("Лучшее дело в Эшгроуве — запускать бумажного змея.", "Какое лучшее дело?", "запускать бумажного змея", ""),
        ("В семь часов паром уходит от причала семь.", "От какого причала?", "семь", "паром уходит от причала"),
    ],
    "Arabic": [
        ("أفضل شيء في القرية هو تطيير طائرة ورقية حمراء.", "ما أفضل شيء؟", "تطيير طائرة ورقية حمراء", ""),
        ("بعد سبعة أجراس تغادر العبارة من رصيف سبعة.", "من أي رصيف؟", "سبعة", "تغادر العبارة من رصيف"),
    ],
    "Hindi": [
        ("गाँव में सबसे अच्छा काम लाल पतंग उड़ाना है।", "सबसे अच्छा काम क्या है?", "लाल पतंग उड़ाना", "गाँव में सबसे अच्छा काम"),
        ("सात घंटियों के बाद नाव घाट सात से जाती है।", "किस घाट से?", "सात", "नाव घाट"),
    ],
    "Japanese": [
        ("村でいいのは赤い凧を七つあげることです。", "何ですか？", "赤い凧を七つあげること", "村でいいのは"),
        ("七時のあと、船は桟橋七から出ます。", "どの桟橋ですか？", "七", "船は桟橋"),
    ],
}  # fmt: skip
READERS = ["sentencepiece-v1", "sentencepiece-v3", "tekken"]
GRID = Grid((600, 900), (0, 50, 100), 200, 50, True)


@pytest.fixture
def files(tmp_path):
    """A haystack and a needle table of one language, as files with a byte order mark and Windows line ends."""

    def write(language: str):
        rows = [("\t").join((f"n{number}", *row)) for number, row in enumerate(NEEDLES[language])]
        table, book = tmp_path / "needles.tsv", tmp_path / "book.txt"
        table.write_bytes(("\ufeff" + "\r\n".join(["\t".join(COLUMNS), *rows])).encode())
        book.write_bytes(("\ufeff" + "".join(SENTENCES[language] * 40)).encode())
        return read_needles(table), read_text(book, "haystacks.folder")

    return write


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("language", NEEDLES)
def test_from_the_table_to_the_label(files, language, name):
    (needles, text), tok = files(language), tokenizer(name)
    straw, source = tokenize("book", text, tok), Source.of(text)
    assert "\ufeff" not in tok.decode(straw.ids)
    for needle in needles.values():
        pieces = cut_pieces(needle, tok, TEMPLATE, chat=False)
        whole = prepare(needle.needle, straw, pieces, GRID, None)
        for prompt in place_grid(needle.needle, whole, pieces, GRID):
            cell = prompt.cell
            assert abs(as_row(cell, pieces)["depth_reached"] - cell.depth) < 10
            assert needle.text in tok.decode(prompt.ids, skip_special_tokens=True)
            copied = tok.decode(prompt.ids[cell.answer_start : cell.answer_end])
            assert copied.strip() == needle.answer
            before = tok.decode(prompt.ids[cell.needle_start : cell.answer_start]).rstrip()
            assert needle.text.startswith(before.strip())
            assert before.endswith(needle.cue[-1:]), "of two places the one behind the cue"
        recall = rouge1_recall(needle.answer, copied)
        assert recall == 100
        assert token_f1(copied, [needle.answer]) == 1
        assert label(copied, needle, passes(recall, 50), source)["error"] == "complete"
    first = needles["n0"]
    extracted = SENTENCES[language][0] + SENTENCES[language][1]
    recall = rouge1_recall(first.answer, extracted)
    assert recall < 50
    assert label(extracted, first, passes(recall, 50), source)["error"] == "wrong extraction"
    assert label(first.question, first, False, source)["error"] == "hallucination"
