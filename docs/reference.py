"""The tables of docs/config.md, made from the comments of configs/base.py with the pages."""

import itertools
from collections.abc import Sequence

from msdi_jax.configs import base, finetune, gopro_reblur
from msdi_jax.configs.describe import Field, describe, describe_fields

MARK = "<!-- fields of configs/base.py -->"
STAGES = ("reblur", "deblur")
PAIRS = "Blurry/sharp pairs of `gopro`, `realblur_j`, `realblur_r`, or your own as `pairs`."


def on_page_markdown(markdown: str, **_) -> str:
    """Fill in the tables; MkDocs calls this for every page."""
    return markdown.replace(MARK, tables()) if MARK in markdown else markdown


def tables() -> str:
    """Markdown: fields, defaults and descriptions, one table per group of fields."""
    fields = describe_fields(base.get_config())
    groups = {group: list(fields) for group, fields in itertools.groupby(fields, _group)}
    shared = {_name(field) for field in groups["reblur"]} & set(map(_name, groups["deblur"]))
    both = [field for stage in STAGES for field in groups[stage] if _name(field) in shared]
    parts = [_table("The run", groups.pop(""))]
    for group, fields in groups.items():
        if group == "reblur":
            parts.append(_table("`dataset` of ready-made pairs", _of_pairs(), PAIRS))
            parts.append(_table("`reblur` and `deblur`", both, "Fields of both stages."))
        own = [field for field in fields if group not in STAGES or _name(field) not in shared]
        parts.append(_table(f"`{group}`", own, describe(group)))
    return "\n\n".join(parts)


def _group(field: Field) -> str:
    return field.path.rpartition(".")[0]


def _name(field: Field) -> str:
    return field.path.rpartition(".")[2]


def _of_pairs() -> list[Field]:
    fields = itertools.chain(
        *(describe_fields(page.get_config()) for page in (gopro_reblur, finetune))
    )
    return [field for field in fields if _group(field) == "dataset"]


def _table(heading: str, fields: Sequence[Field], text: str = "") -> str:
    """One row per name; where stages have different defaults, it shows both."""
    rows: dict[str, list[Field]] = {}
    for field in fields:
        rows.setdefault(_name(field), []).append(field)
    lines = [f"## {heading}", "", *([text, ""] if text else [])]
    lines += ["| field | default | description |", "|---|---|---|"]
    for name, same in rows.items():
        defaults = ", ".join(dict.fromkeys(f"`{field.default!r}`" for field in same))
        lines.append(f"| `{name}` | {defaults} | {same[0].description} |")
    return "\n".join(lines)
