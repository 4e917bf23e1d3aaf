"""Reuse of the KV cache between prompts that begin alike.

The tokens in front of a needle are the same for every depth and length over one haystack. Between two prompts
the cache is cut back to their longest common prefix and only the rest is prefilled. Layers that keep all keys
are cut by slicing; layers that cannot be (sliding windows, recurrent states) are small and are copied at the
cut, which is known because the next prompt is. Tokens and scores are those of a full prefill. Where rotary
frequencies depend on the length, only prompts of the same frequencies share a prefix (models/rotary.py).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from contextlib import nullcontext

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from retrieval_heads.engine.attention.cached import continues, continuing
from retrieval_heads.engine.shared_prefix import copied_layer
from retrieval_heads.models.architecture import first_device
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.rotary import ALWAYS_THE_SAME, Rotary
from retrieval_heads.prompts.cells import Prompt

# Eager attention makes a float matrix of queries x keys for every head: thin blocks keep it small.
EAGER_BLOCK_TOKENS = 512
# SDPA needs a mask of queries x keys where a sliding window rules out its causal kernel, or a filled cache does
# (attention/cached.py does without, where it can).
MASK_BLOCK_TOKENS = 4096
# With fewer tokens in common, such as a BOS token (of a short prompt, with less than a quarter), a prompt is prefilled
# from its first: behind a filled cache attention is computed in two parts that are joined.
LEAST_SHARED = 32
# Prompts that are answered side by side at most, and how many tokens they may hold together where the longest prompt
# holds fewer: their keys take no more memory than those of so many tokens.
SIDE_BY_SIDE, TOGETHER = 8, 8192


def order_prompts(prompts: Iterable[Prompt], rotary: Rotary = ALWAYS_THE_SAME) -> list[Prompt]:
    """Sort so that each prompt shares as much as it can with the one before: one haystack, growing insertion point.

    rotary: of the model; prompts of other frequencies share nothing and stand apart.
    """
    return sorted(
        prompts,
        key=lambda p: (
            rotary.choice(len(p.ids)),
            *(p.cell.haystack, p.cell.needle_start, p.cell.needle, p.cell.length, p.cell.depth),
        ),
    )


def fits(prompt: Prompt, running: Sequence[Prompt], longest: int) -> bool:
    """Whether a prompt may be answered beside those that are. longest: tokens of the longest prompt of the job."""
    held = sum(len(other.ids) for other in running)
    return not running or (len(running) < SIDE_BY_SIDE and held + len(prompt.ids) <= max(TOGETHER, longest))


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common prefix of two token sequences."""
    for position, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return position
    return min(len(first), len(second))


@torch.inference_mode()
def feed(loaded: Loaded, cache: Cache, rows: Sequence[Sequence[int]], whole: int | None = None) -> None:
    """Feed equally long rows of token ids onto the cache without making logits, nor any L x L matrix.

    whole: length of the sequence that these tokens are part of; None when they end it.
    """
    if not rows[0]:
        return
    batch = torch.tensor(rows, device=first_device(loaded.model))
    maskless = cache.get_seq_length() > 0 and continues(loaded)
    blocks = [batch] if maskless else batch.split(_block_tokens(loaded, cache) or len(rows[0]), dim=1)
    whole = whole or cache.get_seq_length() + len(rows[0])
    with continuing(loaded) if maskless else nullcontext(), loaded.info.rotary.onto(cache, [whole]):
        for block in blocks:
            loaded.model.base_model(input_ids=block, past_key_values=cache, use_cache=True)


def _block_tokens(loaded: Loaded, cache: Cache) -> int | None:
    """How many tokens to feed at a time, None for all of them."""
    info = loaded.info
    if not info.takes_blocks or info.kernel.startswith("flash"):
        return None
    if info.kernel == "eager":
        return EAGER_BLOCK_TOKENS
    return MASK_BLOCK_TOKENS if any(cache.is_sliding) or cache.get_seq_length() > 0 else None


def _worth_sharing(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens of the common prefix, 0 where they are too few to go on behind."""
    shared = common_prefix(first, second)
    return shared if shared >= min(LEAST_SHARED, len(second) // 4) else 0


class Bookmark:
    """A place in a one-row cache to come back to: `length` tokens, and copies of what cannot be cut by slicing."""

    def __init__(self, cache: Cache, length: int):
        self.length = length
        self._copies = {
            index: copied_layer(layer, 1) for index, layer in enumerate(cache.layers) if type(layer) is not DynamicLayer
        }

    def restore(self, cache: Cache) -> None:
        """Put `cache` back to where it was; the bookmark stays good."""
        for index, layer in enumerate(cache.layers):
            if index in self._copies:
                cache.layers[index] = copied_layer(self._copies[index], 1)
            else:
                layer.crop(min(0, self.length - layer.get_seq_length()))


class PrefixCache:
    """The KV cache of the prompt at hand. `reuse=False` prefills every prompt from its first token."""

    def __init__(self, loaded: Loaded, reuse: bool = True):
        self.loaded = loaded
        self.reuse = reuse and loaded.info.takes_blocks
        self._ids: tuple[int, ...] = ()
        self._choice: tuple = ()
        self._bookmark: Bookmark | None = None
        self.cache = DynamicCache(config=loaded.model.config)
        self._sliced = all(type(layer) is DynamicLayer for layer in self.cache.layers)

    def prefill(
        self,
        ids: Sequence[int],
        next_ids: Sequence[int] = (),
        whole: int | None = None,
        next_whole: int | None = None,
    ) -> int:
        """Make the cache hold exactly `ids`; returns how many tokens went through the model.

        next_ids: the prompt after this one, if known; caches that cannot be cut by slicing need it to be
        reused. whole, next_whole: length of the sequence that the tokens begin (prompt and response so far), which
        decides the frequencies of some rotary embeddings; None when they are all of it.
        """
        ids, whole = tuple(ids), whole or len(ids)
        choice = self.loaded.info.rotary.choice(whole)
        if choice != self._choice:
            self._ids, self._bookmark, self._choice = (), None, choice
        # A prefill that fails midway leaves a cache of no use, whose tokens are unknown.
        before, self._ids = self._ids, ()
        kept = done = self._rewind(before, _worth_sharing(before, ids))
        self.cache.whole = (whole,)
        shares = self.loaded.info.rotary.choice(next_whole or len(next_ids)) == choice
        cut = _worth_sharing(ids, next_ids) if self.reuse and not self._sliced and shares else 0
        if cut > done:
            feed(self.loaded, self.cache, [ids[done:cut]], whole)
            self._bookmark, done = Bookmark(self.cache, cut), cut
        feed(self.loaded, self.cache, [ids[done:]], whole)
        self._ids = ids
        return len(ids) - kept

    def kept(self) -> Cache:
        """The cache as it is now; prompts to come leave it alone."""
        cache = copy.copy(self.cache)
        cache.layers = [
            copy.copy(layer) if type(layer) is DynamicLayer else copied_layer(layer, 1) for layer in self.cache.layers
        ]
        return cache

    def _rewind(self, before: Sequence[int], shared: int) -> int:
        """Cut the cache of `before` back to at most `shared` tokens; returns how many it still holds."""
        if self.reuse and before and self._sliced and shared:
            Bookmark(self.cache, shared).restore(self.cache)
            return shared
        if self.reuse and self._bookmark is not None and self._bookmark.length <= shared:
            self._bookmark.restore(self.cache)
            return self._bookmark.length
        self._bookmark = None
        self.cache = DynamicCache(config=self.loaded.model.config)
        return 0
