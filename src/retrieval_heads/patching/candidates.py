"""Other answers that a needle's sentence might give, as text: the user's, or those of needles of the same sentence.

Light on purpose (standard library only): the config is checked with it before any job starts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from retrieval_heads.prompts.needles import Needle
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.words import comparable, stands_in


def candidates(needle: Needle, needles: Mapping[str, Needle], seed: int) -> list[str]:
    """Answers that may stand in the needle's place, in the order in which they are tried.

    Those of its column `counterpart`, in their order; else the answers of all needles that ask the same question of a
    sentence that differs in its answer alone, in an order that `seed` draws.
    """
    if needle.counterpart:
        return [answer.strip() for answer in needle.counterpart.split("|")]
    others = [one.answer for one in needles.values() if _frame(one) == _frame(needle)]
    found = [answer for answer in others if comparable(answer) != comparable(needle.answer)]
    random.Random(f"{seed} {needle.needle}").shuffle(found)
    return found


def with_answer(needle: Needle, answer: str) -> Needle:
    """The needle with another answer in its sentence."""
    first, last = needle.answer_span()
    return replace(needle, text=needle.text[:first] + answer + needle.text[last:], answer=answer)


def _frame(needle: Needle) -> tuple[str, str, str]:
    """What needles of one template share: the sentence around the answer, and the question."""
    start, end = needle.answer_span()
    return needle.text[:start], needle.text[end:], needle.question


def patched_faults(config: Mapping, needles: Mapping[str, Needle], haystacks: list[Path]) -> Iterator[str]:
    """What of the part `patched` contradicts the rest of the config; nothing where the part is left out."""
    if "patched" not in config:
        return
    for model in config["patched"]["models"] or ():
        if model not in config["models"]:
            yield (
                f"patched.models: '{model}' is not under models; it has {', '.join(config['models'])}; take it out, or "
                "leave the part out with `patched: null`"
            )
    texts = {str(path): comparable(read_text(path, "haystacks.folder")) for path in haystacks}
    for name in config["masked"]["needles"]:
        answers = candidates(needles[name], needles, config["patched"]["seed"])
        yield from counterpart_faults(needles[name], answers, config["needles"], texts)


def counterpart_faults(needle: Needle, answers: list[str], table: str, texts: Mapping[str, str]) -> Iterator[str]:
    """Why the counterparts of a needle cannot be used. table: where it stands; texts: comparable haystacks by name."""
    where = f"patched: needle '{needle.needle}' of '{table}'"
    if not answers:
        yield (
            f"{where} has no counterpart; write another answer of as many tokens into its column `counterpart` "
            "(several are separated by '|'), add needles whose sentences differ in the answer alone, or leave the part "
            "out with `patched: null`"
        )
    for answer in answers:
        told = comparable(answer)
        if not told.strip() or told == comparable(needle.answer):
            yield f"{where}: its counterpart '{answer}' says nothing else; write another answer there"
        for path in (path for path, text in texts.items() if stands_in(told, text)):
            yield f"{where}: its counterpart '{answer}' already stands in '{path}'; write another answer there"
