"""Scores of kept responses, by the filters and metrics of the task's file. No model is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.utils import apply_template

from retrieval_heads.downstream.tasks.answers import INVALID
from retrieval_heads.downstream.tasks.harness import requests


def answer_text(response: dict, until: Sequence[str], think_end: str | None, thinking: bool) -> str:
    """The part of a response that answers: behind the reasoning block, up to the first stop string.

    thinking: the model was asked to reason in a block; a response whose block never ends answers nothing.
    """
    if thinking and think_end not in response["text"]:
        return ""
    return postprocess_generated_text(response["text"], list(until), think_end)


class Judge:
    """Scores responses to the items of one task. `score` is the main metric, named `metric,filter`."""

    def __init__(self, task: ConfigurableTask, think_end: str | None = None, thinking: bool = False):
        self.task = task
        self.think_end, self.thinking = think_end, thinking
        self.docs = list(task.eval_docs)
        self.instances = requests(task)
        declared = (task.config.metadata or {}).get("score")
        self.filter = declared.split(",")[1] if declared else task._filters[0].name
        self.score = declared or next(iter(self._metrics_of_nothing()))

    def _metrics_of_nothing(self) -> dict[str, float]:
        """The metrics of empty responses: their names say what there is."""
        nothing = [
            {"text": "", "loglikelihood": [0.0] * len(instances), "greedy": [False] * len(instances)}
            for instances in self.instances
        ]
        return next(self.judged(nothing))

    def judged(self, responses: Sequence[dict]) -> Iterator[dict]:
        """Of one response an item: every metric as `metric,filter`, and `readable`: an answer could be read."""
        for instances, response in zip(self.instances, responses, strict=True):
            for place, instance in enumerate(instances):
                instance.resps, instance.filtered_resps = [self._given(instance, response, place)], {}
        self.task.apply_filters()
        for doc, instances in zip(self.docs, self.instances, strict=True):
            row = {}
            for name in instances[0].filtered_resps:
                metrics = self.task.process_results(doc, [instance.filtered_resps[name] for instance in instances])
                row |= {f"{metric},{name}": float(x) for metric, x in metrics.items() if isinstance(x, Real)}
            read = instances[0].filtered_resps[self.filter]
            yield row | {"readable": read not in (INVALID, "")}

    def _given(self, instance: Instance, response: dict, place: int):
        if instance.request_type == "generate_until":
            return answer_text(response, instance.args[1].get("until") or [], self.think_end, self.thinking)
        if instance.request_type == "loglikelihood_rolling":
            return response["loglikelihood"][0]
        return response["loglikelihood"][place], response["greedy"][place]

    def chance(self, shifts: int = 20) -> float:
        """The score of a response that knows nothing of the item, 0 to 1.

        What the task's file declares, or 1 / choices, or else the mean score of other items' right answers, given as
        responses (at most `shifts` others an item). NaN for a task of the harness without choices.
        """
        metadata = self.task.config.metadata or {}
        if "chance" in metadata:
            return float(metadata["chance"])
        if self.task.OUTPUT_TYPE == "multiple_choice":
            return sum(1 / len(instances) for instances in self.instances) / len(self.instances)
        if "response" not in metadata or len(self.docs) < 2:
            return math.nan
        end = self.think_end if self.thinking else ""
        said = [{"text": f"{end} {apply_template(metadata['response'], doc)}"} for doc in self.docs]
        means = []
        for shift in range(1, min(shifts + 1, len(said))):
            rows = self.judged(said[shift:] + said[:shift])
            means.append(sum(row[self.score] for row in rows) / len(said))
        return sum(means) / len(means)
