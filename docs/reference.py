"""The table of docs/config.md, read off configs/base.py when the pages are built."""

import re
from pathlib import Path

BASE = Path(__file__).parents[1] / "configs" / "base.py"
MARK = "<!-- fields of configs/base.py -->"
# `config.name = …`, `"name": …,` and `name=…,`; the second group is what follows.
FIELD = re.compile(r'^\s*(?:config\.(\w+) = |"(\w+)": |(\w+)=)(.*?),?$')
GROUP = re.compile(r"^\s*config\.(\w+) = (?:_stage\(|ml_collections\.ConfigDict\($)")
INLINE = re.compile(r'"(\w+)": (\([^)]*\)|[^,}]+)')


def on_page_markdown(markdown: str, **_) -> str:
    """Called by MkDocs for every page."""
    return markdown.replace(MARK, table(BASE.read_text())) if MARK in markdown else markdown


def table(source: str) -> str:
    """Fields, defaults and the comments above them, in Markdown; one table per group."""
    groups: dict[str, list[tuple[str, str, str]]] = {"": []}
    group, comment = "", []
    for line in source.splitlines():
        text = line.strip()
        if text.startswith("def _stage"):
            group = "reblur and deblur"
            groups[group] = []
        elif text.startswith("#"):
            comment.append(text.lstrip("# "))
        elif found := GROUP.match(line):
            group, told = found[1], " ".join(comment)
            groups[group] = [("", "", told)] if told else []
            comment = []
        elif text in (")", "})", "}"):
            # A field's own dictionary ends with it, and so does a group.
            group, comment = ("", []) if text == ")" else (group, comment)
        elif text.startswith("{") and group:
            groups[group] += [(name, value, "") for name, value in INLINE.findall(text)]
        elif found := FIELD.match(line):
            name, value = found[1] or found[2] or found[3], found[4]
            told, comment = " ".join(comment), []
            if "ConfigDict({" in value:
                for inner, default in INLINE.findall(value):
                    groups[""].append((f"{name}.{inner}", default, told))
                    told = "〃"
            else:
                groups[group].append((name, value, told))
        elif not text:
            comment = []
    return "\n\n".join(_table(name, rows) for name, rows in groups.items() if rows)


def _table(group: str, rows: list[tuple[str, str, str]]) -> str:
    head = f"## `{group}`" if group and " " not in group else f"## {group or 'The run'}"
    lines = [head, ""]
    lines += [told + "\n" for name, _, told in rows if not name]
    lines += ["| field | default | |", "|---|---|---|"]
    lines += [f"| `{name}` | `{value}` | {told} |" for name, value, told in rows if name]
    return "\n".join(lines)
