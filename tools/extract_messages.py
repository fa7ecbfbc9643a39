"""Collect all texts of the studio's pages into the catalogues of translations.

    python tools/extract_messages.py

Reads templates, scripts, refusals in Python files and the kinds of restoration. Updates
faceskd/studio/locale/*.po: new texts are added without a translation, unused ones removed.
"""

import ast
from collections.abc import Iterator

from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as BabelMessage
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from faceskd.studio.kinds import all_kinds
from faceskd.studio.translation import CATALOGUES

STUDIO = CATALOGUES.parent
KEYWORDS: dict = {"_": None, "ngettext": (1, 2)}
Message = tuple[str | tuple[str, ...] | list[str], str, int]
"""A text, or a singular and a plural; the file under faceskd/studio/; the line."""


def main() -> None:
    """Update all catalogues, and name what is not translated."""
    found = list(messages())
    for path in sorted(CATALOGUES.glob("*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.stem)
        template = Catalog()
        for text, place, line in found:
            template.add(text, locations=[(place, line)])
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalogue, width=100, omit_header=True, include_lineno=False)
        missing = [message.id for message in catalogue if message.id and not translated(message)]
        print(f"{path.name}: {len(catalogue)} texts, {len(missing)} without a translation")
        for text in missing:
            print(f"  {text!r}")


def translated(message: BabelMessage) -> bool:
    """Whether a text has its translation."""
    text = message.string
    return all(text) if isinstance(text, (tuple, list)) else bool(text)


def messages() -> Iterator[Message]:
    """All texts that users can see."""
    for folder, suffix, method in (
        ("templates", "html", "jinja2.ext:babel_extract"),
        ("static/scripts", "js", "javascript"),
    ):
        for path in sorted((STUDIO / folder).glob(f"*.{suffix}")):
            for line, text, _, _ in extract_from_file(method, path, keywords=KEYWORDS):
                yield text, str(path.relative_to(STUDIO)), line
    for path in sorted(STUDIO.rglob("*.py")):
        for text, line in refusals(ast.parse(path.read_text("utf-8"))):
            yield text, str(path.relative_to(STUDIO)), line
    for kind in all_kinds().values():
        place = f"kinds/{kind.__module__.rpartition('.')[2]}.py"
        yield from ((text, place, 0) for text in (kind.title, kind.description))
        for option in kind.options:
            choices = [title for _, title in option.choices]
            yield from ((text, place, 0) for text in (option.title, option.description, *choices))


def refusals(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Texts of `Refusal(status, code, text)`, `text = ...`, `mark(...)` and `translator(...)(...)`.

    Example:
        >>> list(refusals(ast.parse('raise Refusal(404, "not_found", "Nothing here.")')))
        [('Nothing here.', 1)]
    """
    for node in ast.walk(tree):
        for part in _shown(node):
            for leaf in ast.walk(part):
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                    yield leaf.value, leaf.lineno


def _shown(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text":
        constant = isinstance(node.value, ast.Constant)
        table = isinstance(node.value, ast.Call) and ast.unparse(node.value).startswith("{")
        return [node.value] if constant or table else []
    if not isinstance(node, ast.Call):
        return []
    name = ast.unparse(node.func)
    if name == "Refusal":
        return [one for one in node.args[2:3] if isinstance(one, ast.Constant)]
    if name == "mark" or name.startswith("translator("):
        return [one for one in node.args[:1] if isinstance(one, ast.Constant)]
    return []


if __name__ == "__main__":
    main()
