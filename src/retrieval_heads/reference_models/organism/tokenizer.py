"""The organism's own byte-level BPE tokenizer, trained on its training text alone."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from retrieval_heads.reference_models.organism.corpus import PROMPT, Author

BOS, EOS = "<s>", "</s>"


def sample(seed: int, lessons: int) -> Iterator[str]:
    """Texts to learn the merges from, questions included."""
    author = Author(seed)
    for _ in range(lessons):
        lesson = author.lesson(words=120, hidden=2, asked=2)
        yield lesson.context
        for q in lesson.questions:
            yield PROMPT.format(question=q.question, cue=q.cue) + f" {q.answer}."


def train_tokenizer(vocabulary: int, seed: int, lessons: int = 2000) -> PreTrainedTokenizerFast:
    """A tokenizer of `vocabulary` entries that puts one BOS in front of a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(seed, lessons), trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )
