"""Bytes that a job takes, term by term, as the engine's code allocates them. The tests count what it really does.

Kinds of jobs: `detection`; `masked`, whose head sets share one prefill (scope `decode`; a trace is one with a single
row); `masked_all`, whose head sets each prefill for themselves (scope `all`); `means` (a calibration); `downstream`, a
batch of questions whose head sets are rows side by side, or come one after another where they cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.shape import Layer, Shape

VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# bitsandbytes: matrices of the layers only; 4-bit with one float32 scale for 64 values.
MATRIX_BYTES = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
# Hidden states alive inside a layer: the embeddings, the layer's input, the residual stream, its normed copy.
RESIDUALS = 4
# Numbers of the engine (a test compares them): blocks of a prefill; tokens of a guess, of a call up to which guesses
# are added, and by which the room of a row grows; tokens and prompts that are answered side by side; tokens that scope
# `all` prefills side by side; rows for each question.
EAGER_BLOCK, MASK_BLOCK, DRAFT, MOST, ROOM = 512, 4096, 32, 512, 64
TOGETHER, SIDE_BY_SIDE, OWN_TOGETHER, ROWS_EACH, ASKED_TOGETHER = 8192, 8, 8192, 4, 16384
# Tokens of a text whose likelihood is taken in one block (downstream/responses.py).
ROLLING = 512
# ASSUME: tokens of a question that are probed at once, and of an answer.
PROBED, NEW_TOKENS = 64, 50
# Float32 rows alive while they are made or listened to.
ROW_COPIES = 3
KINDS = ("detection", "masked", "masked_all", "means", "downstream")


@dataclass(frozen=True)
class Memory:
    """Bytes of one job. weights, cache and grown are spread over the cards; activations and rows are not.

    activations: of the prefill. rows: of the answers, and `grown`, what the cache grows by meanwhile.
    """

    weights: int
    cache: int
    activations: int
    rows: int
    grown: int = 0

    @property
    def total(self) -> int:
        """Bytes on one device that holds everything."""
        return self.weights + self.cache + max(self.activations, self.rows + self.grown)


def weight_bytes(shape: Shape, dtype: str, quantization: str | None = None) -> int:
    """Bytes of the loaded weights: parameters x size of a value; quantised, the embeddings keep their dtype."""
    size = VALUE_BYTES[dtype]
    if quantization is None:
        return shape.parameters * size
    if quantization not in MATRIX_BYTES:
        raise CostError(f"quantization '{quantization}' is unknown; use 4bit, 8bit or leave it out")
    return round((shape.parameters - shape.embedding) * MATRIX_BYTES[quantization] + shape.embedding * size)


@dataclass(frozen=True)
class _Work:
    """What a job of one kind does at its longest prompt.

    held: tokens of all prompts in the cache. side: prompts that are prefilled at once. rows: continued side by side.
    logits: tokens that go through the model at once while they are. listened: queries whose rows of weights are made.
    held_copies, copies: of layers whose keys rows cannot share, in the prefill and more in the answers. whole: the
    prefill takes no blocks, and a mask that knows of padding.
    """

    held: int
    side: int
    rows: int
    logits: int
    listened: int
    held_copies: int
    copies: int
    whole: bool = False


def job_memory(
    shape: Shape,
    dtype: str,
    quantization: str | None,
    longest: int,
    rows: int = 1,
    kernel: str | None = None,
    kind: str = "masked",
    new_tokens: int = NEW_TOKENS,
    prompts: int = 1,
    keep_weights: bool = False,
) -> Memory:
    """Bytes of a job whose longest prompt has `longest` tokens.

    rows: head sets decoded side by side; of `downstream` prompts. kernel: sdpa, flash_attention_2 or eager; None takes
    the one that needs most, for it depends on the machine. kind: see above.
    prompts: of a cell whose caches are held at a time (patched runs: 2). keep_weights: the attention weights of one run
    of an answer are kept, of all layers and heads.
    """
    size = VALUE_BYTES[dtype]
    work = _work(shape, kind, longest, rows)
    kernels = (kernel,) if kernel else ("flash_attention_2", "eager" if shape.eager else "sdpa")
    own = sum(layer.cached(longest) for layer in shape.layers if not layer.shareable)
    shared = shape.cached(longest) - own
    room = -(-new_tokens // ROOM) * ROOM if joins(shape) or kind == "detection" else new_tokens
    new = work.rows * room * sum(layer.cached(1) for layer in shape.layers if layer.shareable)
    copied = shape.cached(longest) * work.rows if kind == "downstream" and not joins(shape) else own * work.copies
    kept = DRAFT * sum(layer.attention.heads for layer in shape.layers if layer.attention) * longest * 4 * keep_weights
    # Likelihoods are taken in float32.
    logits = work.logits * shape.vocabulary * (size if kind != "downstream" else size + 8)
    answering = [
        _block_bytes(layer, shape, size, work.logits) + _repeated(layer, work, longest, size) for layer in shape.layers
    ]
    return Memory(
        weights=weight_bytes(shape, dtype, quantization),
        cache=size * prompts * (shared * work.held // longest + own * work.held_copies),
        activations=max(
            _prefill_bytes(layer, shape, size, longest, name, work) for layer in shape.layers for name in kernels
        ),
        rows=max(logits, _weights_of_rows(shape, work, longest, size), *answering) + kept,
        grown=size * (new + copied),
    )


def joins(shape: Shape) -> bool:
    """Whether new tokens attend behind a filled cache without mask or rows of weights (engine/attention/cached.py)."""
    return not shape.eager and all(layer.shareable for layer in shape.layers)


def own_rows(tokens: int, rows: int) -> int:
    """Head sets of scope `all` that are prefilled side by side (masking/niah.py)."""
    return max(1, min(rows, OWN_TOGETHER // tokens))


def _work(shape: Shape, kind: str, longest: int, rows: int) -> _Work:
    if kind == "detection":
        side = side_by_side(longest) if all(layer.shareable for layer in shape.layers) else 1
        return _Work(longest * side, 1, side, _fed(side, PROBED), _fed(side, PROBED) // side, 2, 1)
    if kind == "masked_all":
        side = own_rows(longest, rows)
        return _Work(longest * side, side, side, side, 0, side, 0)
    if kind == "downstream" and joins(shape):
        held = max(longest, min(longest * rows, ASKED_TOGETHER))
        return _Work(held, 1, rows * ROWS_EACH, max(_fed(rows * ROWS_EACH, 1), ROLLING), 0, 0, 0)
    if kind == "downstream":
        rows = max(1, min(rows, ASKED_TOGETHER // longest))
        return _Work(longest * rows, rows, rows, max(rows * DRAFT, ROLLING), 0, rows, rows, whole=True)
    if kind == "means":
        return _Work(longest, 1, 0, 0, 0, 1, 0)
    if joins(shape):
        side = side_by_side(longest) if rows > 1 else 1
        return _Work(longest * side, 1, rows, _fed(rows, 1), 0, 2, rows)
    return _Work(longest, 1, rows, rows, rows if any(layer.shareable for layer in shape.layers) else 0, 2, rows)


def side_by_side(tokens: int) -> int:
    """Prompts of so many tokens that are answered side by side (engine/prefill.py)."""
    return min(SIDE_BY_SIDE, max(tokens, TOGETHER) // tokens)


def _fed(rows: int, tokens: int) -> int:
    """Tokens of a call in which every row gets so many and guesses (engine/decoding.py)."""
    return min(rows * (tokens + DRAFT), max(rows * tokens, MOST))


def _weights_of_rows(shape: Shape, work: _Work, longest: int, size: int) -> int:
    """Float32 rows of weights over the prompt, beside the states of the tokens that attend."""
    if not work.listened:
        return 0
    states = max(layer.attention.pair_values for layer in shape.layers if layer.attention) + RESIDUALS * shape.hidden
    return work.listened * shape.heads * longest * ROW_COPIES * 4 + work.logits * states * size


def _repeated(layer: Layer, work: _Work, longest: int, size: int) -> int:
    """Keys and values that are made for every query head, of layers in which each row has its own."""
    if layer.shareable or not layer.attention:
        return 0
    return work.rows * layer.attention.expanded * layer.keys(longest) * size


def _prefill_bytes(layer: Layer, shape: Shape, size: int, tokens: int, kernel: str, work: _Work) -> int:
    """Activations of one layer at the peak of a prefill of prompts of `tokens` tokens, `work.side` side by side.

    Flash attention takes all tokens at once. SDPA does so from an empty cache, and behind a filled one where attention
    can be joined; else it takes blocks with a mask, under which keys are repeated for every query head. While a block
    attends, the layer's keys exist twice, before and after it was joined to them.
    """
    at_once = work.whole or kernel == "flash_attention_2" or (kernel == "sdpa" and not shape.windowed)
    whole = _block_bytes(layer, shape, size, tokens * work.side) if at_once else 0
    if kernel == "flash_attention_2" or (kernel == "sdpa" and joins(shape) and not work.whole):
        return whole
    block = tokens if work.whole else min(EAGER_BLOCK if kernel == "eager" else MASK_BLOCK, tokens)
    peak = _block_bytes(layer, shape, size, block * work.side)
    if layer.attention:
        # The last block may be thinner than the others, and is the one that sees most keys.
        full, rest = tokens // block * block, tokens % block
        seen_by = ((block, full), (rest, tokens))
        pairs = max(some * min(end, layer.keys(end) + some) for some, end in seen_by)
        keys = (layer.attention.expanded + layer.attention.cached) * layer.keys(tokens) * size
        masks = pairs * (size * (2 if shape.windowed else 1) if kernel == "eager" else 1)
        matrices = pairs * layer.attention.heads * eager_bytes(shape, size) if kernel == "eager" else 0
        states = block * (RESIDUALS * shape.hidden + layer.attention.pair_values) * size
        # SDPA adds its mask as numbers.
        states += pairs * size if kernel != "eager" else 0
        peak = max(peak, work.side * (states + matrices + keys)) + work.side * masks
    return max(whole, peak)


def eager_bytes(shape: Shape, size: int) -> int:
    """Bytes alive for one weight of eager attention: scaled and masked, in float32 under softmax, and rounded again.

    GPT-OSS, whose sinks are joined as a further key, keeps four matrices in the model's dtype.
    """
    return 4 * size if shape.family == "gpt_oss" else 8


def _block_bytes(layer: Layer, shape: Shape, size: int, tokens: int) -> int:
    """Values alive while `tokens` tokens go through the wider half of a layer."""
    halves = (layer.mixer, layer.mlp)
    return tokens * (RESIDUALS * shape.hidden * size + max(half.width * size + half.width32 * 4 for half in halves))
