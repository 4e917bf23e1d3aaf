"""Files of scores and head sets made elsewhere, read once before the first job: a broken one costs no GPU hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path


def given_file_faults(config: Mapping, located: Callable[[str], str]) -> list[str]:
    """One sentence for each file that cannot be used, with its config key. config: checked, defaults filled in.

    What reads the files is imported only where there are any: the config itself is checked without pandas.
    """
    faults = []
    given = config["head_scores"]["models"]
    if given:
        from retrieval_heads.head_scores.formats.registry import read
        from retrieval_heads.head_scores.scores import HeadScoreError

        for name, entry in sorted(given.items()):
            path = Path(located(str(Path(config["head_scores"]["folder"]) / entry["file"])))
            try:
                read(path, entry["format"], entry.get("group_size"))
            except (HeadScoreError, OSError) as error:
                faults.append(f"head_scores.models.{name}: {error}")
    sets = {name: entry["head_sets"] for name, entry in config["models"].items() if entry.get("head_sets")}
    if sets:
        from retrieval_heads.masking.head_set_files import read_head_sets
        from retrieval_heads.masking.head_sets import HeadSetError

        for name, file in sorted(sets.items()):
            try:
                read_head_sets(Path(located(file)), None)
            except (HeadSetError, OSError) as error:
                faults.append(str(error).replace("models.*.", f"models.{name}.", 1))
    return faults
