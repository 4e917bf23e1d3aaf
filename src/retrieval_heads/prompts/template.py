"""The template of a prompt: where the context, the question and the cue stand, and what may not stand there.

Standard library only: the config is checked with it before any job starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

CONTEXT, QUESTION, CUE = "{context}", "{question}", "{cue}"
# `\boxed{}` is text.
NAMED = re.compile(r"\{\w+\}")


def template_fault(template: str) -> str | None:
    """What makes a template unusable, and the remedy."""
    if unknown := [name for name in NAMED.findall(template) if name not in (CONTEXT, QUESTION, CUE)]:
        return (
            f"it holds {unknown[0]}, which nothing fills in; write {CONTEXT}, {QUESTION} or {CUE}, or drop the braces"
        )
    if (times := template.count(CONTEXT)) != 1:
        return f"it holds {CONTEXT} {times} times; write it once"
    if template.partition(CUE)[2].strip():
        return f"{CUE} opens the answer, so it stands once and last; move it to the end"
    return None


def template_faults(config: Mapping) -> Iterator[str]:
    """One sentence for each template of the config that cannot be used."""
    templates = {"prompt.template": config["prompt"]["template"]}
    templates |= {f"models.{name}.template": model.get("template") for name, model in config["models"].items()}
    for key, template in templates.items():
        if template is not None and (fault := template_fault(template)):
            yield f"{key}: {fault}"


def filled(template: str, question: str, cue: str) -> tuple[str, str]:
    """The texts before and behind the context. What a question spells in braces stays text."""
    told = {QUESTION: question, CUE: cue}
    head, _, tail = template.partition(CONTEXT)
    return tuple(NAMED.sub(lambda name: told.get(name[0], name[0]), part) for part in (head, tail))
