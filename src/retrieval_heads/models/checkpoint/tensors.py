"""A checkpoint is loaded whole or not at all: what is missing, too much or of another shape is refused by name.

transformers draws missing weights at random and only prints a report. Tensors that are tied to others, and those that a
model type declares as optional or as superfluous, are in none of its lists.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from retrieval_heads.models.checkpoint.composite import OTHER_PARTS, TEXT_NAMES, is_composite
from retrieval_heads.models.checkpoint.faults import AGAIN, fault, first_line
from retrieval_heads.models.checkpoint.headers import whole_number_tensors
from retrieval_heads.models.unsupported import text_config

SHOWN = 5


def load_whole(path: str, config: Any, **options) -> PreTrainedModel:
    """The causal model of a checkpoint with all of its weights; raises `ModelError` for tensors that do not fit.

    config: of the model that is loaded, which may be a part of the checkpoint's (`composite.loadable`). options: of
    `from_pretrained`.
    """
    saved = AutoConfig.from_pretrained(path, revision=options.get("revision"), trust_remote_code=False)
    if type(saved) is not type(config):
        options["key_mapping"] = TEXT_NAMES
    try:
        # Shapes that differ come back in the report with all the others.
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **options,
        )
    except UnpicklingError as error:
        # What torch says is advice to switch its protection off.
        raise fault(path, "its weights cannot be read (UnpicklingError: not of tensors alone)", AGAIN) from error
    except (OSError, ValueError, TypeError, EOFError, ImportError, SafetensorError) as error:
        raise fault(path, f"its weights cannot be read ({first_line(error)})", AGAIN) from error
    except KeyError as error:
        # Parts of a model are looked up by the names in its configuration: activations, kinds of layers.
        raise fault(path, f"its config.json names {error}, which transformers does not know", AGAIN) from error
    except RuntimeError as error:
        if "conversion" not in str(error):
            raise
        raise fault(path, "tensors that its model type joins, as those of experts, are not all there", AGAIN) from error
    refuse_partial(path, report, is_composite(saved))
    if all(getattr(part, "quantization_config", None) is None for part in (saved, text_config(saved))):
        refuse_whole_numbers(path, model)
    return model


def refuse_whole_numbers(path: str, model: PreTrainedModel) -> None:
    """Raise `ModelError` where weights of a checkpoint that is not quantised are saved as whole numbers.

    transformers turns them into floats as they are, without a scale. Buffers (masks, positions) may be whole numbers.
    """
    if not Path(path).is_dir():
        return
    weights = {name for name, _ in model.named_parameters()}
    found = [
        name
        for name in whole_number_tensors(Path(path))
        if name.endswith(".weight") or weights & {name, f"{model.base_model_prefix}.{name}"}
    ]
    if found:
        shown = f"{', '.join(sorted(found)[:SHOWN])}{', ...' if len(found) > SHOWN else ''}"
        raise fault(
            path,
            f"{len(found)} weights are whole numbers ({shown}), and its config.json names no quantization_config",
            "take the checkpoint that is not quantised, and let models.<name>.quantization quantise it (8bit, 4bit)",
        )


def check_whole(path: str, config: Any) -> None:
    """`load_whole` without reading a weight: names and shapes of all tensors against those of the model."""
    if getattr(config, "quantization_config", None) is None:
        load_whole(path, config, device_map="meta")


def refuse_partial(path: str, report: Mapping[str, Collection], composite: bool) -> None:
    """Raise `ModelError` when a loading report of transformers is not empty.

    composite: the other parts of the checkpoint may be left over.
    """
    missing, unexpected = set(report["missing_keys"]), set(report["unexpected_keys"])
    if composite:
        unexpected = {name for name in unexpected if not OTHER_PARTS.search(name)}
    shapes = [f"{name} {list(saved)} for {list(wanted)}" for name, saved, wanted in report["mismatched_keys"]]
    faults = [
        f"{len(names)} tensors {what} ({', '.join(sorted(names)[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for what, names in (
            ("are missing", missing),
            ("belong to no part of the model", unexpected),
            ("have another shape", shapes),
        )
        if names
    ]
    if faults:
        raise fault(path, "; ".join([*faults, *map(str, report.get("error_msgs", ()))]), _remedy(unexpected))


def _remedy(unexpected: Collection[str]) -> str:
    prefixes = {name.split(".")[0] for name in unexpected}
    if prefixes == {"base_model"}:
        return "it was saved with its adapter's names: merge the adapter (`merge_and_unload` of peft) and save it again"
    return "save the checkpoint again from the model that its config.json describes, or download it again"
