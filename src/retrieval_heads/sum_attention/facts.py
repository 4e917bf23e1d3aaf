"""Facts of made-up records as needles: one table of records, one of tasks, and a split that no record crosses.

A task is a template of a needle over the columns of the records (`The company {company} is led by {chief_executive}.`);
a fact is one task filled from one record. Standard library only: the Snakefile asks while it is parsed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from string import Formatter

from retrieval_heads.prompts.needles import Needle, NeedleError
from retrieval_heads.sources.text_files import TextFileError, is_misread, list_texts, read_table, read_text
from retrieval_heads.words import comparable, split_words, stands_in

PARTS = ("identification", "validation")
FORM = ("text", "question", "answer", "cue")


class FactError(ValueError):
    """Records or tasks that cannot be used; the message names the file or key and the remedy."""


@dataclass(frozen=True)
class Fact:
    """One task filled from one record. part: identification | validation, the same for all facts of a record."""

    task: str
    record: str
    part: str
    needle: Needle


def read_records(path: Path) -> dict[str, dict[str, str]]:
    """Record -> its columns. Raises `FactError` for a record without a usable name, or one that is listed twice."""
    records: dict[str, dict[str, str]] = {}
    for row in _rows(path, ["record"], "sum_attention.records"):
        name = row["record"]
        if not name.isidentifier():
            raise FactError(
                f"{path}: record '{name}': a name is made of letters, digits and '_' (it becomes a file name)"
            )
        if is_misread(name):
            raise FactError(f"{path}: record '{name}': tables would read this name as an empty value; choose another")
        if name in records:
            raise FactError(f"{path}: record '{name}' is listed twice; give each its own name")
        records[name] = row
    return records


def read_tasks(path: Path) -> dict[str, dict[str, str]]:
    """Task -> its templates `text`, `question`, `answer` and `cue`. Raises `FactError` for one that is listed twice."""
    tasks: dict[str, dict[str, str]] = {}
    for row in _rows(path, ["task", *FORM], "sum_attention.templates"):
        if row["task"] in tasks:
            raise FactError(f"{path}: task '{row['task']}' is listed twice; give each its own name")
        tasks[row["task"]] = row
    return tasks


def _rows(path: Path, columns: Sequence[str], key: str) -> list[dict[str, str]]:
    found, rows = read_table(path, key)
    missing = [name for name in columns if name not in found]
    if missing:
        raise FactError(f"{path}: the column '{missing[0]}' is missing; add it")
    return rows


def split(records: Sequence[str], share: int, seed: int) -> dict[str, str]:
    """Record -> part: `share` percent of the records, drawn with `seed`, identify heads and the others validate them.

    The draw depends on the names, not on their order. Raises `FactError` when a part would be empty.
    """
    drawn = sorted(records)
    random.Random(seed).shuffle(drawn)
    first = round(len(drawn) * Fraction(str(share)) / 100)
    if not 0 < first < len(drawn):
        raise FactError(
            f"sum_attention.identification: {share} % of {len(drawn)} records leaves one part empty; add records or "
            "choose another share"
        )
    return {record: PARTS[place >= first] for place, record in enumerate(drawn)}


def state_facts(
    records: Mapping[str, Mapping[str, str]],
    tasks: Mapping[str, Mapping[str, str]],
    chosen: Sequence[str],
    *,
    share: int,
    seed: int,
    cues: bool,
) -> list[Fact]:
    """Every chosen task filled from every record, task by task.

    share, seed: see `split`. cues: give the needles the cue of their task. Raises `FactError` for a task that is not
    there, a template that the records cannot fill, and a fact without a question or an answer.
    """
    if unknown := [task for task in chosen if task not in tasks]:
        raise FactError(
            f"sum_attention.tasks: no task '{unknown[0]}' in the table of templates; it has {', '.join(tasks)}"
        )
    part = split(list(records), share, seed)
    facts = []
    for task in chosen:
        for name, record in records.items():
            filled = {key: _filled(tasks[task][key], record, task, key) for key in FORM}
            for key in ("question", "answer"):
                if not split_words(filled[key]):
                    raise FactError(
                        f"task '{task}', column {key}: of record '{name}' it comes to '{filled[key]}', which holds no "
                        "word; write one there"
                    )
            needle = Needle(f"{task}_{name}", **(filled if cues else {**filled, "cue": ""}))
            facts.append(Fact(task, name, part[name], needle))
    return facts


def _filled(template: str, record: Mapping[str, str], task: str, key: str) -> str:
    where = f"task '{task}', column {key}"
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise FactError(
            f"{where}: '{template}' is no template ({error}); put each column into braces of its own, and double a "
            "brace that is text"
        ) from None
    for _, name, form, conversion in fields:
        if form or conversion:
            raise FactError(f"{where}: '{template}' gives '{name}' a format; write {{{name}}}, as the records spell it")
        if name not in record:
            raise FactError(f"{where}: the records have no column '{name}'; they have {', '.join(record)}")
        if not record[name]:
            raise FactError(f"{where}: the column '{name}' of record '{record['record']}' is empty; fill it in")
    return template.format_map(record)


def sum_attention_faults(config: Mapping, located: Callable[[str], str]) -> Iterator[str]:
    """What the schema cannot see in the part `sum_attention`: names, files, records and haystacks."""
    part = config.get("sum_attention")
    if part is None:
        return
    for name in part["models"] or []:
        if name not in config["models"]:
            yield f"sum_attention.models: no model '{name}' in models; it has {', '.join(config['models'])}"
    try:
        records, tasks = read_records(Path(located(part["records"]))), read_tasks(Path(located(part["templates"])))
        split_by = {"share": part["identification"], "seed": part["seed"]}
        facts = state_facts(records, tasks, part["tasks"], cues=part["cues"], **split_by)
        for fact in facts:
            fact.needle.answer_span()
    except (FactError, NeedleError, TextFileError) as error:
        yield str(error)
    else:
        if "planted" in part["placements"] and config["haystacks"].get("folder"):
            yield from _already_told(facts, Path(located(config["haystacks"]["folder"])))
        if "natural" in part["placements"]:
            yield from _without_document(records, Path(located(part["documents"])))


def _already_told(facts: Sequence[Fact], folder: Path) -> Iterator[str]:
    try:
        texts = {path: comparable(read_text(path, "haystacks.folder")) for path in list_texts(folder)}
    except TextFileError as error:
        yield str(error)
        return
    for fact in facts:
        answer = comparable(fact.needle.answer)
        for path, text in texts.items():
            if stands_in(answer, text):
                yield (
                    f"sum_attention.records: '{fact.needle.answer}' ({fact.task} of '{fact.record}') already stands in "
                    f"'{path}'; choose another"
                )


def _without_document(records: Mapping[str, Mapping[str, str]], folder: Path) -> Iterator[str]:
    told = {path.stem for path in list_texts(folder)}
    for name in records:
        if name not in told:
            yield f"sum_attention.documents: there is no '{folder / name}.txt'; put the document of each record there"
