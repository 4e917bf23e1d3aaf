"""Head sets that others chose, read from a file and checked against the model.

Two forms: the list that this workflow writes (`results/<model>/head_sets.json`), or a mapping from a name to its heads,
each head as [layer, head] or "layer-head".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from retrieval_heads.masking.head_sets import HeadSetError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HEAD = re.compile(r"(\d+)-(\d+)")


def read_head_sets(path: Path, heads: Mapping[int, int] | None) -> list[dict]:
    """The sets as `head_sets.choose_head_sets` gives them; of a mapping, each set is a kind of its own.

    heads: layer -> query heads of the model, None where the model is not known yet. Raises `HeadSetError` that names
    the file, and where it can the set and the head.
    """
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
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


def _checked(entry: Mapping, heads: Mapping[int, int] | None, path: Path) -> dict:
    name = str(entry["name"])
    where = f"models.*.head_sets: '{path}', set '{name}'"
    if not NAME.fullmatch(name) or name == "unmasked":
        raise HeadSetError(f"{where}: a name is made of letters, digits, '.', '_' and '-', and is not 'unmasked'")
    if not isinstance(entry["heads"], list):
        raise HeadSetError(f"{where}: its heads are no list; write [[layer, head], ...]")
    chosen = sorted({_head(head, where) for head in entry["heads"]})
    for layer, head in chosen:
        if heads is not None and head >= heads.get(layer, 0):
            raise HeadSetError(f"{where}: head {layer}-{head} does not exist in this model; remove it")
    kind, seed = entry.get("kind", name), entry.get("seed")
    return {"name": name, "kind": kind, "k": len(chosen), "seed": seed, "heads": [list(head) for head in chosen]}


def _head(head, where: str) -> tuple[int, int]:
    match = HEAD.fullmatch(head) if isinstance(head, str) else None
    pair = tuple(map(int, match.groups())) if match else head
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(n, int) and n >= 0 for n in pair):
        raise HeadSetError(f'{where}: {json.dumps(head)} is no head; write [layer, head] or "layer-head"')
    return tuple(pair)
