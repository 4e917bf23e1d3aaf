"""The text that the organism learns from: invented books, with sentences hidden in them and questions about those.

Nothing of an evaluation is in here: places and most content words are made up of syllables on the spot, so that what
is learned is to find and copy, not to remember. The prompt is the one of the workflow's default config.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PROMPT = "\nBased on the content of the book, Question: {question}\nAnswer: {cue}"

ONSETS = "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl fr gl gr pl pr qu sc sh sk sl sm sn sp st str sw th tr tw wh".split()  # noqa: E501
NUCLEI = "a e i o u a e i o ai au ea ee ie oa oo ou ow".split()
CODAS = "b ck d ff g l ll m n nd ng nk nt p r rd rk rn rt s ss st t th tch x".split() + [""] * 12
ENDINGS = "ing ed er ers ly es s en ish ful ness al y ow le".split() + [""] * 15

NOUNS = """time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night point
home water room mother area money story fact month lot right study book eye job word business issue
side kind head house service friend father power hour game line end member law car city community
name president team minute idea body information back parent face others level office door health
person art war history party result change morning reason research girl guy moment air teacher force
education foot boy age policy music market sense nation plan college interest death experience
effect use class control field development role effort rate heart drug show leader light voice wife
police mind price report decision son view relationship town road arm difference value building
action season society tax director position player record paper space ground form event official
matter center couple site project base star table need court oil half situation cost industry figure
street image phone data picture practice piece land product doctor wall patient worker news test
movie north love step south dog cat tree wood stone river hill sea ship window floor corner chair
bed cup plate bread milk salt fire smoke rain snow wind cloud sun moon sky grass leaf flower garden
bird fish horse sheep farm barn fence gate bridge boat train station letter page pen box bag coat
shoe hat ring gold silver iron glass""".split()
VERBS = """found took made gave told asked left felt kept held brought began showed heard played ran moved
lived believed happened wrote sat stood lost paid met included continued set learned changed led
understood watched followed stopped created spoke read spent grew opened walked won offered
remembered considered appeared bought waited served died sent built stayed fell cut reached killed
raised passed sold decided returned explained hoped carried broke received agreed supported hit
produced ate covered caught drew chose wanted used needed tried called saw knew came went""".split()
ADJECTIVES = """good new first last long great little own other old right big high different small large next early
young important few public bad same able strong possible whole free military true federal
international full special easy clear recent certain personal open red difficult available likely
short single medical current wrong private past foreign fine common poor natural significant similar
hot dead central happy serious ready simple left physical general green white black blue warm cold
wide deep quiet slow quick thick thin heavy dark bright wet dry soft hard""".split()
ADVERBS = "often never always slowly again soon there here today once twice still almost perhaps later together".split()
LINKS = (
    "in on at near under behind above with without from into over after before during against between for by".split()
)
SUBJECTS = "he she they we it someone nobody everyone".split()
ASKS = ("What is", "What was", "Which is", "Tell me what is", "Where is", "Who is", "What do they call")


@dataclass(frozen=True)
class Question:
    """A question about one hidden sentence, which reads `cue answer.`"""

    question: str
    cue: str
    answer: str


@dataclass(frozen=True)
class Lesson:
    """One training text: a context, and questions to be answered from it."""

    context: str
    questions: tuple[Question, ...]


class Author:
    """Writes lessons; everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lexicon = [self._coin() for _ in range(400)]

    def _coin(self) -> str:
        pick = self.random.choice
        syllables = self.random.choice((1, 1, 2, 2, 2, 3))
        return "".join(pick(ONSETS) + pick(NUCLEI) + pick(CODAS) for _ in range(syllables)) + pick(ENDINGS)

    def word(self, known: list[str], novelty: float) -> str:
        """A known word, or with the chance `novelty` an invented one (sometimes one that this book uses often)."""
        if self.random.random() >= novelty:
            return self.random.choice(known)
        return self.random.choice(self.lexicon) if self.random.random() < 0.5 else self._coin()

    def _phrase(self, novelty: float) -> str:
        article = self.random.choice(("the", "a", "his", "her", "their", "this", "every", "some"))
        adjective = f"{self.word(ADJECTIVES, novelty)} " if self.random.random() < 0.5 else ""
        return f"{article} {adjective}{self.word(NOUNS, novelty)}"

    def sentence(self, novelty: float) -> str:
        """One sentence of a haystack."""
        pick, chance = self.random.choice, self.random.random
        subject = pick(SUBJECTS) if chance() < 0.3 else self._phrase(novelty)
        text = f"{subject} {self.word(VERBS, novelty)} {self._phrase(novelty)}"
        while chance() < 0.55:
            text += f"{',' if chance() < 0.2 else ''} {pick(LINKS)} {self._phrase(novelty)}"
        if chance() < 0.3:
            text += f" {pick(('and', 'but', 'because', 'while', 'when'))} {self._phrase(novelty)} "
            text += f"{pick(('was', 'is', 'had been', 'seemed'))} {self.word(ADJECTIVES, novelty)}"
        elif chance() < 0.2:
            text += f" {pick(ADVERBS)}"
        return text[0].upper() + text[1:] + pick(("." * 9) + "!?")

    def question(self) -> Question:
        """A hidden sentence: what it is about, where, and an answer of three to ten words."""
        pick = self.random.choice
        novelty = pick((0.2, 0.6, 1.0))
        place = self._coin().capitalize()
        about = " ".join(self.word(NOUNS + ADJECTIVES, novelty) for _ in range(pick((1, 2, 2, 3, 4))))
        link = pick(("in", "of", "at", "from", "near", "for", "to do in", "to see in", "kept in", "under"))
        verb = pick(("is", "is", "is", "is", "was", "is to", "lies", "are", "is called", self._coin()))
        subject = f"{pick(('the', 'the', 'the', 'a', 'one', 'every'))} {about} {link} {place}"
        cue = f"{subject[0].upper()}{subject[1:]} {verb}"
        words = [self.word(NOUNS + ADJECTIVES, novelty) for _ in range(self.random.randint(3, 8))]
        for _ in range(pick((0, 0, 1, 2))):
            words.insert(self.random.randrange(len(words)), pick((*LINKS, "a", "the", "and")))
        return Question(f"{pick(ASKS)} {subject}?", cue, " ".join(words))

    def lesson(self, words: int, hidden: int, asked: int) -> Lesson:
        """A book of about `words` words with `hidden` sentences put in, of which `asked` are asked for."""
        novelty = self.random.choice((0.05, 0.3, 0.3, 0.6, 0.9))
        self.lexicon = [self._coin() for _ in range(self.random.choice((10, 60, 300)))]
        sentences, written = [], 0
        while written < words:
            sentences.append(self.sentence(novelty))
            written += sentences[-1].count(" ") + 1
        questions = [self.question() for _ in range(hidden)]
        for question in questions:
            place = self.random.randint(0, len(sentences))
            sentences.insert(place, f"{question.cue} {question.answer}.")
        breaks = [self.random.choice((" ",) * 6 + ("\n",)) for _ in sentences]
        context = "".join(s + b for s, b in zip(sentences, breaks, strict=True)).strip()
        return Lesson(context, tuple(self.random.sample(questions, asked)))
