"""Head sets that others chose, read from a file and checked against the model.

Two forms: the list that this workflow writes (`results/<model>/head_sets.json`), or a mapping from a name to its heads,
each head as [layer, head] or "layer-head".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval_heads.masking.head_sets import HeadSetError
from retrieval_heads.sources.text_files import is_misread

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What tables call the runs that are none of a head set.
RESERVED = ("unmasked", "none", "source", "all")
HEAD = re.compile(r"(\d+)-(\d+)")


def read_head_sets(path: Path, heads: Mapping[int, int] | None) -> list[dict]:
    """The sets as `head_sets.choose_head_sets` gives them; of a mapping, each set is a kind of its own.

    heads: layer -> query heads of the model, None where the model is not known yet. Raises `HeadSetError` that names
    the file, and where it can the set and the head.
    """
    try:
        content = json.loads(
            Path(path).read_bytes().decode("utf-8-sig"), object_pairs_hook=lambda pairs: _once(pairs, path)
        )
    except HeadSetError:
        raise
    except (ValueError, RecursionError) as error:
        raise HeadSetError(
            f"models.*.head_sets: '{path}' is no JSON in UTF-8 ({error}); mend it or remove the key"
        ) from None
    if isinstance(content, dict):
        content = [{"name": name, "kind": name, "heads": chosen} for name, chosen in content.items()]
    if (
        not content
        or not isinstance(content, list)
        or not all(isinstance(entry, dict) and {"name", "heads"} <= set(entry) for entry in content)
    ):
        raise HeadSetError(f"models.*.head_sets: '{path}' holds no sets; write {{\"name\": [[layer, head], ...]}}")
    sets = [_checked(entry, heads, path) for entry in content]
    names = [entry["name"] for entry in sets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise HeadSetError(f"models.*.head_sets: '{path}' names '{min(twice)}' twice; give each set its own name")
    return sets


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """The object of these pairs, in which no name stands twice."""
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise HeadSetError(f"models.*.head_sets: '{path}' names '{min(twice)}' twice; give each set its own name")
    return dict(pairs)


def _checked(entry: Mapping, heads: Mapping[int, int] | None, path: Path) -> dict:
    name = str(entry["name"])
    where = f"models.*.head_sets: '{path}', set '{name}'"
    kind, seed = str(entry.get("kind", name)), entry.get("seed")
    for key, text in (("name", name), ("kind", kind)):
        if not NAME.fullmatch(text):
            raise HeadSetError(f"{where}: a {key} is made of letters, digits, '.', '_' and '-'; write another one")
        if text.lower() in RESERVED:
            raise HeadSetError(f"{where}: the {key} is not '{text}', which tables call another run; write another one")
        if is_misread(text):
            raise HeadSetError(f"{where}: tables read the {key} '{text}' as a number or as empty; write another one")
    if not isinstance(entry["heads"], list) or not entry["heads"]:
        raise HeadSetError(f"{where}: its heads are no list with a head in it; write [[layer, head], ...]")
    chosen = sorted({_head(head, where) for head in entry["heads"]})
    for layer, head in chosen:
        if heads is not None and head >= heads.get(layer, 0):
            raise HeadSetError(f"{where}: head {layer}-{head} does not exist in this model; remove it")
    return {"name": name, "kind": kind, "k": len(chosen), "seed": seed, "heads": [list(head) for head in chosen]}


def _head(head, where: str) -> tuple[int, int]:
    match = HEAD.fullmatch(head) if isinstance(head, str) else None
    pair = tuple(map(int, match.groups())) if match else head
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(type(n) is int and n >= 0 for n in pair):
        raise HeadSetError(f'{where}: {json.dumps(head)} is no head; write [layer, head] or "layer-head"')
    return tuple(pair)
