"""Write the haystacks of the project from their grammars: three kinds of English prose, the same at every run.

Input: resources/grammars/<name>.yaml. Output: resources/haystacks/<name>.txt, and SHA256SUMS beside them.
Run it as `python resources/write_haystacks.py`.
"""

import hashlib
import random
import re
from pathlib import Path

import yaml

WORDS = 12_000
RESOURCES = Path(__file__).parent


def expand(grammar: dict[str, list[str]], chance: random.Random) -> str:
    """One sentence; a name that stands twice in a pattern is filled with two different words."""
    used: set[str] = set()

    def fill(match: re.Match) -> str:
        word = chance.choice([item for item in grammar[match[1]] if item not in used])
        used.add(word)
        return word

    return re.sub(r"{(\w+)}", fill, chance.choice(grammar["sentence"]))


def write_text(grammar: dict[str, list[str]], seed: str) -> str:
    """Paragraphs of four to nine sentences, about `WORDS` words in all, no sentence twice."""
    chance = random.Random(seed)
    seen: set[str] = set()
    paragraphs, words = [], 0
    while words < WORDS:
        paragraph = []
        while len(paragraph) < chance.randint(4, 9):
            sentence = expand(grammar, chance)
            if sentence not in seen:
                seen.add(sentence)
                paragraph.append(sentence)
        paragraphs.append(" ".join(paragraph))
        words += paragraphs[-1].count(" ") + 1
    return "\n".join(paragraphs) + "\n"


def main() -> None:
    """Write every haystack and the list of checksums."""
    sums = []
    for grammar in sorted((RESOURCES / "grammars").glob("*.yaml")):
        text = write_text(yaml.safe_load(grammar.read_text(encoding="utf-8")), seed=grammar.stem)
        (RESOURCES / "haystacks" / f"{grammar.stem}.txt").write_text(text, encoding="utf-8")
        sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {grammar.stem}.txt\n")
    (RESOURCES / "haystacks" / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main()
