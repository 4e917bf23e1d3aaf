"""Find, prove and explain retrieval heads in language models.

`from retrieval_heads import load_model, find_heads, masked, …`: the names of `retrieval_heads.api`, for notebooks and
other programs, imported when they are first asked for, so that no table, figure or Snakefile has to load torch.
"""

import importlib

__all__ = [
    "FoundHeads",
    "HeadMask",
    "Needle",
    "attention_pattern",
    "choose_head_sets",
    "compare_scores",
    "find_heads",
    "load_model",
    "make_prompts",
    "masked",
    "read_needles",
    "run_masked",
    "success_curve",
]


def __getattr__(name: str):
    if name in __all__:
        # By name: an import statement would make every module of the package depend on all the others.
        return getattr(importlib.import_module("retrieval_heads.api"), name)
    raise AttributeError(f"module 'retrieval_heads' has no attribute '{name}'")
