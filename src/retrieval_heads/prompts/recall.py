"""Recall of a needle's answer in a response, in any script, and when a cell counts as successful."""

from __future__ import annotations

from functools import lru_cache

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer, Tokenizer

from retrieval_heads.rounding import settled
from retrieval_heads.words import LETTERS_A_WORD, characters_a_word, split_words

# Words of ASCII as rouge-score has them.
ASCII_TOKENS = DefaultTokenizer(use_stemmer=True)


class WordTokenizer(Tokenizer):
    """The words of `split_words`; those of ASCII alone as rouge-score has them, stemmed.

    rouge-score itself takes every other character for white space. Of ASCII texts the words are the same.
    """

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, folded and stemmed."""
        if text.isascii():
            return ASCII_TOKENS.tokenize(text)
        words = split_words(text)
        return [stem(word) if word.isascii() else _paired(words, place) for place, word in enumerate(words)]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A word of `split_words` as recall counts it: stemmed where it is of ASCII."""
    return "".join(ASCII_TOKENS.tokenize(word)) if word.isascii() else word


def _paired(words: list[str], place: int) -> str:
    """A word as it is counted: with the character behind it in the scripts of South-east Asia.

    Their characters are few and are letters: two sentences that have nothing to do with each other share 30 to 60 % of
    them, but 2 to 10 % of their pairs. In Chinese and Japanese the single characters of such sentences differ enough.
    """
    pair = words[place : place + 2]
    alphabetic = all(characters_a_word(word) == LETTERS_A_WORD for word in pair)
    return "".join(pair) if alphabetic else words[place]


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    return RougeScorer(["rouge1"], tokenizer=WordTokenizer())


def rouge1_recall(answer: str, response: str) -> float:
    """ROUGE-1 recall of the answer in the response, percent, with stemming."""
    return 100 * _scorer().score(answer, response)["rouge1"].recall


def passes(recall: float, success_recall: float) -> bool:
    """Whether a cell counts as successful: a recall above `success_recall`, both in percent."""
    return bool(settled(recall) > success_recall)
