"""Bytes that a detection or masking job takes, term by term. docs/costs.md says what each was compared with."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.shape import Layer, Shape

VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# bitsandbytes: matrices of the layers only; 4-bit with one float32 scale for 64 values.
MATRIX_BYTES = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
# Hidden states alive inside a layer: the embeddings, the layer's input, the residual stream, its normed copy.
RESIDUALS = 4
# The blocks of engine/prefill.py, the tokens of a question that are probed at once, those of an answer's draft.
EAGER_BLOCK, MASK_BLOCK, PROBED, DRAFT = 512, 4096, 64, 16
# Tokens of short prompts, and prompts, that detection answers side by side (detection/detector.py).
TOGETHER, DETECTED = 4096, 8
# Matrices of queries x keys alive in eager attention, and float32 rows alive in the probe.
EAGER_COPIES, ROW_COPIES = 4, 3


@dataclass(frozen=True)
class Memory:
    """Bytes of one job. weights and cache are spread over the cards; activations and rows are not."""

    weights: int
    cache: int
    activations: int
    rows: int

    @property
    def total(self) -> int:
        """Bytes on one device that holds everything."""
        return self.weights + self.cache + max(self.activations, self.rows)


def weight_bytes(shape: Shape, dtype: str, quantization: str | None = None) -> int:
    """Bytes of the loaded weights: parameters x size of a value; quantised, the embeddings keep their dtype."""
    size = VALUE_BYTES[dtype]
    if quantization is None:
        return shape.parameters * size
    if quantization not in MATRIX_BYTES:
        raise CostError(f"quantization '{quantization}' is unknown; use 4bit, 8bit or leave it out")
    return round((shape.parameters - shape.embedding) * MATRIX_BYTES[quantization] + shape.embedding * size)


def job_memory(
    shape: Shape,
    dtype: str,
    quantization: str | None,
    longest: int,
    rows: int = 1,
    kernel: str | None = None,
    detection: bool = False,
    prompts: int = 1,
    keep_weights: bool = False,
) -> Memory:
    """Bytes of a job whose longest prompt has `longest` tokens and which decodes `rows` head sets side by side.

    kernel: sdpa, flash_attention_2 or eager; None takes the one that needs most, for it depends on the machine.
    Layers whose keys rows cannot share are copied for each row, and once for the way back to a shared prefix.
    detection: where all layers keep all keys, short prompts are held and answered side by side.
    prompts: of a cell whose caches are held at a time (patched runs: 2). keep_weights: the attention weights of one
    run of an answer are kept, of all layers and heads.
    """
    size = VALUE_BYTES[dtype]
    kernels = (kernel,) if kernel else ("flash_attention_2", "eager" if shape.eager else "sdpa")
    copied = [layer for layer in shape.layers if not layer.shareable]
    expanded = max(
        (layer.attention.expanded for layer in copied if layer.attention and layer.attention.always), default=0
    )
    together = detection and not copied
    held = max(longest, TOGETHER) if together else longest
    drafts = max(rows, DETECTED if together else 0)
    weights_of_rows = max(PROBED, rows) * shape.heads * longest * ROW_COPIES * 4
    if keep_weights:
        weights_of_rows += DRAFT * sum(layer.attention.heads for layer in shape.layers if layer.attention) * longest * 4
    # Logits are made in the model's dtype and compared in float32.
    logits = max(PROBED, drafts * DRAFT) * shape.vocabulary * (4 if size == 4 else size + 4)
    return Memory(
        weights=weight_bytes(shape, dtype, quantization),
        cache=size * (prompts * shape.cached(held) + (rows + 1) * sum(layer.cached(longest) for layer in copied)),
        activations=max(
            _prefill_bytes(layer, shape, size, longest, name) for layer in shape.layers for name in kernels
        ),
        rows=max(weights_of_rows + rows * expanded * longest * size, logits),
    )


def _prefill_bytes(layer: Layer, shape: Shape, size: int, tokens: int, kernel: str) -> int:
    """Activations of one layer at the peak of a prefill of `tokens` tokens.

    Flash attention takes all tokens at once. SDPA does so from an empty cache without windows; else it takes blocks
    with a mask, under which keys are repeated for every query head. While a block attends, the layer's keys exist
    twice, before and after it was joined to them.
    """
    at_once = kernel == "flash_attention_2" or (kernel == "sdpa" and not shape.windowed)
    whole = _block_bytes(layer, shape, size, tokens) if at_once else 0
    if kernel == "flash_attention_2":
        return whole
    block = min(EAGER_BLOCK if kernel == "eager" else MASK_BLOCK, tokens)
    peak = _block_bytes(layer, shape, size, block)
    if layer.attention:
        seen = min(tokens, layer.keys(tokens) + block)
        matrices = layer.attention.heads * EAGER_COPIES if kernel == "eager" else 1
        keys = (layer.attention.expanded + layer.attention.cached) * layer.keys(tokens)
        peak = max(peak, size * (block * seen * matrices + keys)) + block * seen
    return max(whole, peak)


def _block_bytes(layer: Layer, shape: Shape, size: int, tokens: int) -> int:
    """Values alive while `tokens` tokens go through the wider half of a layer."""
    halves = (layer.mixer, layer.mlp)
    return tokens * (RESIDUALS * shape.hidden * size + max(half.width * size + half.width32 * 4 for half in halves))
