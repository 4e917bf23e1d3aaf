"""Tasks of lm-evaluation-harness over items that are at hand: the project's own files, and any task it ships itself.

Prompts, filters and metrics are the harness's; what is not is where the items come from (a list, never the network).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from retrieval_heads.downstream.tasks.sources import HARNESS
from retrieval_heads.prompts.encoding.chat import DATE, check_template, render

logging.getLogger("lm_eval").setLevel(logging.ERROR)


class TaskError(ValueError):
    """A task that cannot be run; the message names it, the reason and the remedy."""


def load(
    task: str,
    mode: str,
    folder: Path,
    items: Sequence[Mapping],
    *,
    shots: Sequence[Mapping] = (),
    max_new_tokens: int | None = None,
    thinking: bool = False,
    seed: int = 0,
) -> ConfigurableTask:
    """The form `mode` of a task over `items`; for mode `harness` the harness's own task over the documents given.

    shots: documents of the examples in the prompt, for tasks of the harness that have any. max_new_tokens replaces that
    of the task's file. thinking: the model reasons in a block of its own, so no words are put into its mouth.
    """
    config = _config(task, mode, folder)
    config |= {"custom_dataset": lambda **_: _splits(items, shots), "dataset_kwargs": None, "test_split": "test"}
    if mode == HARNESS:
        # The documents are as the task's own processing left them.
        config |= {"validation_split": None, "training_split": None, "process_docs": None}
        config["fewshot_split"] = "shots" if shots else None
    if thinking:
        config["gen_prefix"] = None
    if max_new_tokens is not None and config["output_type"] == "generate_until":
        config["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": max_new_tokens}
    loaded = ConfigurableTask(config=config)
    loaded.set_fewshot_seed(seed)
    return loaded


@cache
def _harness() -> TaskManager:
    """The tasks that the harness ships; reading their files takes seconds."""
    return TaskManager()


def _config(task: str, mode: str, folder: Path) -> dict[str, Any]:
    """The task's file as a dict, includes and functions resolved."""
    if mode != HARNESS:
        return load_yaml(folder / f"{task}_{mode}.yaml")
    entry = _harness().task_index.get(task)
    if entry is None or entry.kind.name != "TASK":
        raise TaskError(
            f"downstream.tasks: '{task}' is neither a task of this project nor a single task of lm-evaluation-harness; "
            "name one task (`lm_eval ls tasks`), not a group, a tag or a task written in Python"
        )
    config = load_yaml(entry.yaml_path)
    return {name: value for name, value in config.items() if name not in ("tag", "group")}


def _splits(items: Sequence[Mapping], shots: Sequence[Mapping]) -> dict[str, Dataset]:
    splits = {"test": Dataset.from_list([dict(item) for item in items])}
    return splits | ({"shots": Dataset.from_list([dict(shot) for shot in shots])} if shots else {})


def published(task: str, revision: str | None = None) -> ConfigurableTask:
    """A task of the harness with its own data, which it downloads (at a revision, where one is given)."""
    config = _config(task, HARNESS, Path())
    if revision is not None:
        config["dataset_kwargs"] = {**(config.get("dataset_kwargs") or {}), "revision": revision}
    return ConfigurableTask(config=config)


def chat_template(
    tokenizer: Any, thinking: bool, *, date: str = DATE, think_end: str | None = None
) -> Callable[..., str]:
    """Renders messages as the harness hands them over (`prompts.encoding.chat.render`).

    thinking: the template opens the model's block of reasoning; templates that know no such block ignore it.
    """
    check_template(tokenizer, date)

    def rendered(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        options = {"date": date, "thinking": thinking, "think_end": think_end}
        return render(tokenizer, messages, answer=add_generation_prompt, **options)

    return rendered


def requests(task: ConfigurableTask, chat: Callable[..., str] | None = None) -> list[list[Instance]]:
    """The requests of every item, in the order of the items. chat: renders messages with the model's chat template."""
    task.build_all_requests(apply_chat_template=chat is not None, chat_template=chat)
    grouped: dict[int, list[Instance]] = {}
    for instance in task.instances:
        grouped.setdefault(instance.doc_id, []).append(instance)
    return [sorted(grouped[doc], key=lambda instance: instance.idx) for doc in sorted(grouped)]
