"""Words of answers that the phantom reads as one token, so that each step of a copy has one thing to match.

Where two words that both stand in the haystacks follow each other in an answer, or a word stands in it twice, no token
tells what comes after them. Such words are read together with what follows, until the phrase stands nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from retrieval_heads.reference_models.phantom.tokenizer import PIECE


def phrases(answers: Iterable[str], texts: Sequence[str]) -> list[str]:
    """The phrases of all answers, without the space in front. texts: the haystacks.

    An answer follows a word that stands in the haystacks.
    """
    common = {piece.lstrip() for text in texts for piece in re.findall(PIECE, text)}
    found = [phrase for answer in answers for phrase in _of_answer(answer, texts, common)]
    return sorted(dict.fromkeys(found), key=lambda phrase: (-len(phrase), phrase))


def _of_answer(answer: str, texts: Sequence[str], common: set[str]) -> list[str]:
    pieces = re.findall(PIECE, answer)
    parts: list[list[str]] = []
    ambiguous, seen = True, set()
    while pieces:
        part = [pieces.pop(0)]
        while pieces and (_joined(part) in seen or (ambiguous and _stands(part, texts, common))):
            part.append(pieces.pop(0))
        while parts and (_joined(part) in seen or (ambiguous and _stands(part, texts, common))):
            part = parts.pop() + part
            ambiguous = not parts or _stands(parts[-1], texts, common)
        parts.append(part)
        seen.add(_joined(part))
        ambiguous = _stands(part, texts, common)
    return [_joined(part) for part in parts if len(part) > 1]


def _joined(part: list[str]) -> str:
    return "".join(part).lstrip()


def _stands(part: list[str], texts: Sequence[str], common: set[str]) -> bool:
    """Whether a word or phrase stands in a haystack."""
    if len(part) == 1:
        return _joined(part) in common
    return any(_joined(part) in text for text in texts)
