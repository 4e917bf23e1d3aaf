"""The phantom's tokenizer: whole words, and phrases of answers, so that one token is one thing to match.

The vocabulary is every word of the texts that it is built for; all other words become <unk>.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
# A word or a number with the space in front of it, a run of punctuation, or one white space.
PIECE = r" ?[A-Za-z']+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s"


def build_tokenizer(texts: Iterable[str], phrases: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that puts one BOS in front of a text and decodes without loss.

    phrases: several words that are one token, the longest first.
    """
    whole = [f" ?{re.escape(phrase)}" for phrase in phrases]
    split = pre_tokenizers.Split(Regex("|".join([*whole, PIECE])), behavior="isolated")
    words = {piece.lstrip(" ") for text in texts for piece, _ in split.pre_tokenize_str(text)}
    # Both forms of every word, as it may open a text or follow another word.
    pieces = sorted({form for word in words if word for form in (word, f" {word}")} | {" "})
    vocabulary = {piece: number for number, piece in enumerate([BOS, EOS, UNKNOWN, *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
