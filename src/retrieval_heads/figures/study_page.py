"""The study on one page: claims, figures with captions, tables, settings; an HTML file that needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docutils.core import publish_parts
from jinja2 import Environment, FileSystemLoader, StrictUndefined

# A larger drawing is embedded as PNG: hundreds of thousands of paths make a page slow on a phone.
LARGEST_SVG = 600_000


@dataclass(frozen=True)
class Figure:
    """One figure of the page. title: what was measured; caption: HTML; source: a data URI; table: the file it draws."""

    title: str
    caption: str
    source: str
    table: str


def embedded(svg: Path) -> str:
    """The drawing as a data URI: the SVG, or the PNG beside it where the SVG is large."""
    small = svg.stat().st_size <= LARGEST_SVG
    file = svg if small else svg.with_suffix(".png")
    kind = "image/svg+xml" if small else "image/png"
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def captions(template: Path, figures: Sequence[str]) -> dict[str, str]:
    """Figure -> caption as HTML, from the report's reStructuredText template, which chooses by the figure's name."""
    source = Environment(undefined=StrictUndefined, autoescape=False).from_string(template.read_text(encoding="utf-8"))
    found = {}
    for figure in figures:
        text = source.render(snakemake={"wildcards": {"figure": figure}})
        found[figure] = publish_parts(text, writer="html5", settings_overrides={"report_level": 5})["body"]
    return found


def attention_views(files: Mapping[str, Path]) -> list[dict]:
    """For each model its cells with the attention of a few heads (`attention_trace.patterns`), for the page."""
    return [{"model": model, "cells": json.loads(path.read_text(encoding="utf-8"))} for model, path in files.items()]


def write_study_page(path: Path, template: Path, content: Mapping) -> None:
    """Fill the page's template and write it; a name that the template asks for and `content` lacks is an error."""
    folder = Environment(loader=FileSystemLoader(template.parent), undefined=StrictUndefined, autoescape=True)
    path.write_text(folder.get_template(template.name).render(**content), encoding="utf-8")
