"""The rotary embedding of a GGUF file, which transformers' reader takes for the plain one whatever the file says.

llama.cpp stores the scaling of Llama 3.1 and later not as settings but as a tensor of divisors, one for each pair of
dimensions; the settings are found again from it, and checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_heads.sources.gguf.header import GgufError, Header

FREQUENCIES = "rope_freqs.weight"
# Of every Llama model with this scaling (Meta's release of 3.1, 3.2 and 3.3).
LOW, HIGH, ORIGINAL = 1.0, 4.0, 8192


def rope_parameters(file: Path, header: Header, plain: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The parameters of the rotary embedding as transformers calls them; `plain`: what its reader made of the file.

    Raises `GgufError` for a scaling that cannot be taken over.
    """
    prefix = f"{header.architecture}.rope.scaling"
    kind, factor = (header.values.get(f"{prefix}.{name}") for name in ("type", "factor"))
    stored = next((tensor for tensor in header.tensors if tensor.name == FREQUENCIES), None)
    if stored is not None:
        return _llama3(file, header, plain, key)
    if kind in (None, "none") and factor in (None, 0.0, 1.0):
        return dict(plain)
    if kind == "linear" and "rope_type" in plain:
        return {**plain, "rope_type": "linear", "factor": factor}
    if kind == "yarn" and "rope_type" in plain:
        original = header.values.get(f"{prefix}.original_context_length")
        return {**plain, "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    raise GgufError(f"{key}: '{file}' scales its rotary embedding in a way that is not read ({prefix}.type = {kind})")


def _llama3(file: Path, header: Header, plain: Mapping[str, Any], key: str) -> dict[str, Any]:
    from gguf import GGUFReader

    [tensor] = [tensor for tensor in GGUFReader(file).tensors if tensor.name == FREQUENCIES]
    divisors = np.array(tensor.data, dtype=np.float64)
    factor, theta = float(divisors.max()), float(plain["rope_theta"])
    if not np.allclose(divisors, llama3_divisors(len(divisors), theta, factor), rtol=1e-4):
        raise GgufError(
            f"{key}: the divisors in tensor '{FREQUENCIES}' of '{file}' are not those of Llama 3 with factor {factor:g}"
        )
    settings = {"low_freq_factor": LOW, "high_freq_factor": HIGH, "original_max_position_embeddings": ORIGINAL}
    return {**plain, "rope_type": "llama3", "factor": factor, **settings}


def llama3_divisors(pairs: int, theta: float, factor: float) -> np.ndarray:
    """What Llama 3's scaling divides the frequency of each pair of dimensions by, `[pairs]`."""
    frequencies = theta ** (-np.arange(pairs) / pairs)
    wavelengths = 2 * math.pi / frequencies
    smooth = (ORIGINAL / wavelengths - LOW) / (HIGH - LOW)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(wavelengths < ORIGINAL / HIGH, 1.0, np.where(wavelengths > ORIGINAL / LOW, factor, between))
