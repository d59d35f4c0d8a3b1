"""Modules and lines of code by room, for `make check`: a figure to look at, never a failure.

A line of code is one that is neither blank, nor a comment, nor part of a docstring.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "watcher"


def lines_of_code(path: Path) -> tuple[int, int]:
    """All lines of code of a file, and those of them that are imports."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    prose: set[int] = set()
    imports: set[int] = set()
    for node in ast.walk(tree):
        # A text that stands alone: a docstring, of whatever is above it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    code = {
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#") and number not in prose
    }
    return len(code), len(code & imports)


def main() -> None:
    modules: Counter[str] = Counter()
    code: Counter[str] = Counter()
    imports: Counter[str] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = parts[0] if len(parts) > 1 else "(top)"
        lines, importing = lines_of_code(path)
        modules[room] += path.name != "__init__.py"
        code[room] += lines
        imports[room] += importing
    print(f"{'room':<12}{'modules':>8}{'lines':>8}{'imports':>8}")
    for room, lines in code.most_common():
        print(f"{room:<12}{modules[room]:>8}{lines:>8,}{imports[room]:>8,}")
    print(f"{'all':<12}{modules.total():>8}{code.total():>8,}{imports.total():>8,}")


if __name__ == "__main__":
    main()
