"""Files of scores and head sets made elsewhere, read once before the first job: a broken one costs no GPU hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path


def whole_path(folder: str, file: str, located: Callable[[str], str]) -> str:
    """The path of a file of head scores: in `head_scores.folder`, or else as it is named."""
    inside = str(Path(folder) / file)
    return file if Path(located(file)).is_file() and not Path(located(inside)).is_file() else inside


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
            path = located(whole_path(config["head_scores"]["folder"], entry["file"], located))
            try:
                read(Path(path), entry["format"], entry.get("group_size"))
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
