"""How every prompt opens: with the tokens that the model's tokenizer puts in front of a text, and nothing behind it.

One rule for needle, sum-attention and downstream prompts. A tokenizer says by itself which tokens open a text (one, two
or none; a named BOS counts only if it is put there) and may close it with others, which a prompt never has: it goes on.
A chat template writes its own opening.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieval_heads.prompts.encoding.plain_text import encode_markup, encode_plain

# Config `models.<name>.opening`: as the tokenizer or the chat template does it, no opening, or exactly the BOS token.
AUTO, NONE, BOS = "auto", "none", "bos"
_PROBE = "a"


class OpeningError(ValueError):
    """A wish for an opening that this tokenizer cannot fulfil; the message names the key and the remedy."""


def opening_tokens(tokenizer: Any, wish: str = AUTO) -> tuple[int, ...]:
    """Token ids in front of a prompt that is no chat. wish: auto, none or bos. Raises `OpeningError`."""
    if wish == NONE:
        return ()
    if wish == BOS:
        if tokenizer.bos_token_id is None:
            raise OpeningError(
                f"models.*.opening: the tokenizer of '{tokenizer.name_or_path}' names no BOS token; use auto or none"
            )
        return (tokenizer.bos_token_id,)
    bare = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    encoding = tokenizer(_PROBE, add_special_tokens=True, return_special_tokens_mask=True)
    whole, added = encoding["input_ids"], encoding["special_tokens_mask"]
    # The mask, not the ids: a vocabulary may read the probe as one of the tokens that open a text.
    start = added.index(0) if 0 in added else len(whole)
    if whole[start : start + len(bare)] == bare:
        return tuple(whole[:start])
    raise OpeningError(
        f"models.*.opening: the tokenizer of '{tokenizer.name_or_path}' reads a text otherwise when it adds special "
        "tokens, so its opening cannot be told; set the key to none or bos"
    )


def open_chat(tokenizer: Any, ids: Sequence[int], wish: str = AUTO) -> list[int]:
    """Token ids of a rendered chat that open as wished: as they are (auto), or without or with one BOS in front."""
    if wish == AUTO:
        return list(ids)
    own = {tokenizer.bos_token_id, *opening_tokens(tokenizer)}
    start = next((place for place, token in enumerate(ids) if token not in own), len(ids))
    return [*opening_tokens(tokenizer, wish), *ids[start:]]


def encode_prompt(tokenizer: Any, text: str, *, chat: bool = False, wish: str = AUTO) -> list[int]:
    """Token ids of a whole prompt. chat: it is a rendered chat, whose special tokens are meant."""
    if chat:
        return open_chat(tokenizer, encode_markup(tokenizer, text)["input_ids"], wish)
    return [*opening_tokens(tokenizer, wish), *encode_plain(tokenizer, text)["input_ids"]]
