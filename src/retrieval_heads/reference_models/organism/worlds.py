"""Generated tasks in the columns of published ones: facts known by heart, word problems, questions over two hops.

Everything follows from seeds. A row belongs to the training split or to the held-out one by a hash of its content, so
the two never share a row. The facts of a world are the same in both splits (a fact that was never seen cannot be known
by heart); what differs are the questions: which choices stand beside the right one, and in which order.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator

from retrieval_heads.reference_models.organism.corpus import Author

SPLITS = ("train", "test")
# One row in this many is held out.
HELD_OUT = 8
RELATIONS = ("river", "craft", "bird", "saint")
# What a town has that one can ask for, with the question word of each.
HOPS = {"mayor": "Who", "market": "What", "bridge": "What", "festival": "What"}
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
THINGS = "apples pears coins shells stones ribbons candles buttons feathers eggs".split()


def digest(row: dict) -> str:
    """A name for a row, from its content alone."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def split_of(row: dict) -> str:
    """The split of a row, from its content alone."""
    content = {name: value for name, value in row.items() if name != "id"}
    return "test" if int(digest(content), 16) % HELD_OUT == 0 else "train"


class World:
    """Facts about `towns` towns, and rows of the three tasks about this world and about people made up on the spot."""

    def __init__(self, world_seed: int = 0, towns: int = 20) -> None:
        draw = random.Random(world_seed)
        self.values = {relation: _names(draw, towns // 2) for relation in RELATIONS}
        self.facts = {
            (town, relation): draw.choice(self.values[relation])
            for town in _names(draw, towns)
            for relation in RELATIONS
        }

    def rows(self, dataset: str, split: str, count: int, seed: int) -> list[dict]:
        """`count` different rows of one split of `dataset` (mmlu, gsm8k or musique), in its published columns."""
        endless = self.stream(dataset, split, seed)
        found: dict[str, dict] = {}
        while len(found) < count:
            row = next(endless)
            found.setdefault(digest(row), row)
        return list(found.values())

    def stream(self, dataset: str, split: str, seed: int) -> Iterator[dict]:
        """Rows of one split without end; what is drawn depends on `seed`, the facts do not."""
        author = Author(seed)
        make = {"mmlu": self._multiple_choice, "gsm8k": _word_problem, "musique": _two_hops}[dataset]
        while True:
            row = make(author)
            if split_of(row) == split:
                yield row

    def _multiple_choice(self, author: Author) -> dict:
        """A fact asked for in MMLU's columns; `reasoning` says the fact."""
        (town, relation), value = author.random.choice(sorted(self.facts.items()))
        others = [other for other in self.values[relation] if other != value]
        choices = [value, *author.random.sample(others, 3)]
        author.random.shuffle(choices)
        return {
            "question": f"What is the {relation} of {town}?",
            "subject": relation,
            "choices": choices,
            "answer": choices.index(value),
            "reasoning": self.statement(town, relation),
        }

    def statement(self, town: str, relation: str) -> str:
        """The sentence that says one fact."""
        return f"The {relation} of {town} is {self.facts[town, relation]}."


def _names(draw: random.Random, count: int) -> list[str]:
    """Different invented names of two or three syllables."""
    names: dict[str, None] = {}
    while len(names) < count:
        syllables = draw.choice((2, 2, 3))
        names["".join(draw.choice(CONSONANTS) + draw.choice(VOWELS) for _ in range(syllables)).capitalize()] = None
    return list(names)


def _word_problem(author: Author) -> dict:
    """Two people have, find and lose things, one is asked for; GSM8K's columns, calculator notes included.

    The reasoning quotes the sentences that it takes its numbers from, then counts.
    """
    draw = author.random
    (who, other), thing = _names(draw, 2), draw.choice(THINGS)
    told = {}
    for name in (other, who):
        had, found, lost = draw.randint(3, 9), draw.randint(1, 6), draw.randint(1, 3)
        told[name] = [f"{name} had {had} {thing}.", f"{name} found {found}.", f"{name} lost {lost}."]
    sentences = [*told[who], *told[other]]
    question = " ".join([*draw.sample(sentences, len(sentences)), f"How many {thing} does {who} have now?"])
    more, left = had + found, had + found - lost
    first = f"{had} + {found} = <<{had}+{found}={more}>>{more}."
    second = f"{more} - {lost} = <<{more}-{lost}={left}>>{left}."
    return {"question": question, "answer": "\n".join([*told[who], first, second, f"#### {left}"])}


def _two_hops(author: Author, chains: int = 3) -> dict:
    """People are from towns, towns have things; one chain of two is asked for, MuSiQue's columns."""
    draw = author.random
    people, towns, things = (_names(draw, chains) for _ in range(3))
    asked = draw.choice(sorted(HOPS))
    told = [(person, f"{person} is from {town}.") for person, town in zip(people, towns, strict=True)]
    told += [(town, f"The {asked} of {town} is {thing}.") for town, thing in zip(towns, things, strict=True)]
    order = draw.sample(range(len(told)), len(told))
    paragraphs = [
        {"idx": place, "title": told[index][0], "paragraph_text": told[index][1]}
        | {"is_supporting": index % chains == 0}
        for place, index in enumerate(order)
    ]
    # The beginning of a sentence of a paragraph, to be completed.
    steps = [(f"{people[0]} is from", towns[0]), (f"The {asked} of #1 is", things[0])]
    row = {
        "paragraphs": paragraphs,
        "question": f"{HOPS[asked]} is the {asked} of the town that {people[0]} is from?",
        "question_decomposition": [
            {"id": hop, "question": question, "answer": answer, "paragraph_support_idx": order.index(hop * chains)}
            for hop, (question, answer) in enumerate(steps)
        ],
        "answer": things[0],
        "answer_aliases": [],
        "answerable": True,
    }
    return {"id": f"2hop__{digest(row)[:12]}", **row}
