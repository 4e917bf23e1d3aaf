# What the rules of figures.smk look up in the config.


def get_figure_labels(wildcards):
    """A figure's line in the report: number and title. Two digits, since the report sorts lines as text."""
    return {"figure": f"{1 + list(TITLES).index(wildcards.figure):02d} {TITLES[wildcards.figure]}"}


def get_notebook_code(wildcards):
    """Digest of a figure's notebook and of the code that it imports."""
    return code_digest(BASE / NOTEBOOKS / f"{wildcards.figure}.ipynb", SOURCE)


def get_study_settings(wildcards):
    """What the page says about how the study was made."""
    shown = {f"model {LABELS[model]}": get_model_source(model) for model in SCORED}
    if MODELS:
        for part in ("detection", "masked"):
            grid = {key: ", ".join(map(str, config[part][key])) for key in ("needles", "lengths", "depths")}
            shown[f"{part} cells"] = "needles {needles}; lengths {lengths} tokens; depths {depths} %".format(**grid)
        shown["a cell is successful"] = f"above {config['detection']['success_recall']} % ROUGE-1 recall of the answer"
        sizes = ", ".join(map(str, config["head_sets"]["sizes"]))
        draws, seed = config["head_sets"]["random_draws"], config["head_sets"]["seed"]
        shown["head sets"] = f"sizes {sizes}; {draws} random draws each, seed {seed}"
        shown["masks"] = "{mode}, scope {scope}, unit {unit}".format(**config["masked"])
    shown["score"] = f"{config['detection']['rank_by']}; retrieval heads score above {config['detection']['threshold']}"
    # In the order in which they are read: as JSON, so that the order counts.
    return json.dumps(shown)


def get_model_source(model):
    """Where a model or its scores come from, in words."""
    entry = ENTRIES[model]
    if "file" in entry:
        return f"scores from {entry['file']} (format {entry['format']})"
    package = entry.get("package") or {}
    wheels = package.get("name", [])
    found = [*([wheels] if isinstance(wheels, str) else wheels), package.get("member")]
    found += [entry.get(key) for key in ("hub", "revision", "gguf", "path", "dtype", "quantization")]
    return ", ".join(str(part) for part in found if part)


def all_figures_input():
    """Every figure in every format and the table that it draws, the table of claims, and the pages of the report."""
    figures = expand("results/figures/{figure}.{kind}", figure=FIGURES, kind=["pdf", "svg", "png", "tsv"])
    pages = ["claims", "models", "best_heads", *(["masked_contrast"] if MODELS else [])]
    return [*figures, "results/tables/claims.tsv", *(f"results/tables/{page}.html" for page in pages)]
