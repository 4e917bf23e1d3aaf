"""The harness's model over prompts that open by this project's rule, for tokenizers that lack what the harness needs.

The harness takes whatever a tokenizer adds, behind the text too, and pads with a token that it makes up where a
tokenizer names neither a padding nor an end token, one that no embedding has.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

from lm_eval.models.huggingface import HFLM

from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.encoding.embedded import refuse_unembedded
from retrieval_heads.prompts.encoding.opening import AUTO, encode_prompt, opening_tokens
from retrieval_heads.prompts.encoding.plain_text import encode_plain

logging.getLogger("lm_eval").setLevel(logging.ERROR)


class OpenedLM(HFLM):
    """`HFLM` whose prompts open as needle prompts do.

    chat: prompts are rendered chats. wish: see `encoding.opening`. pad: a token that fills short rows and is masked.
    """

    def __init__(self, loaded: Loaded, *, chat: bool = False, wish: str = AUTO):
        self.chat, self.wish = chat, wish
        # The loaded tokenizer stays as it is.
        tokenizer = copy.deepcopy(loaded.tokenizer)
        self.embedded = loaded.model.get_input_embeddings().weight.shape[0]
        self.pad = padding_token(tokenizer, self.embedded)
        if tokenizer.pad_token_id != self.pad:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(self.pad)
        super().__init__(pretrained=loaded.model, tokenizer=tokenizer, backend="causal")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **options
    ) -> list[int]:
        """Token ids of a prompt, or of a bare text where no special tokens are wanted."""
        if add_special_tokens is False:
            ids = encode_plain(self.tokenizer, string)["input_ids"]
        else:
            ids = encode_prompt(self.tokenizer, string, chat=self.chat, wish=self.wish)
        refuse_unembedded(ids, self.tokenizer, self.embedded)
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def end_text(self) -> list[str]:
        """The text of the end token as a stop string; none where the tokenizer names no such token."""
        end = self.tokenizer.eos_token_id
        return [] if end is None else [self.tok_decode(end, skip_special_tokens=False)]

    def prefix(self) -> list[int]:
        """What stands in front of a text without a prompt: its opening, else the BOS or the end token, as the harness
        takes them; nothing where a tokenizer has none of them."""
        named = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return list(opening_tokens(self.tokenizer, self.wish)) or [token for token in named if token is not None][:1]


def padding_token(tokenizer: Any, rows: int) -> int:
    """A token id with an embedding (of `rows`) for places that are masked: pad, else end, else the first one."""
    named = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((token for token in named if token is not None and token < rows), 0)
