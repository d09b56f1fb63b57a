"""Amazon's products: the metadata files of 2014 (Python literals), 2018 and 2023 (JSON)."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.lines import Aside, first_lines, read_lines
from liverank.data.sources.parts import Note, Part
from liverank.data.sources.rows import Pairs, Rows, text_of

ROWS: Final = 50_000
COLUMNS: Final = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES)
PRICE: Final = re.compile(r"\$?\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?$")
LONGEST_LITERAL: Final = 5_000_000
KEYS: Final = {"price", "title", "description", "categories", "category", "salesRank", "main_category", "imUrl"}


class NotAnItem(ValueError):
    """A line of metadata that names no product."""


def is_metadata(file: Location) -> bool:
    """Whether one of the file's first lines is a product."""
    return any(_is_product(line) for line in first_lines(file) if line.startswith("{"))


def _is_product(line: str) -> bool:
    try:
        product = _decode(line)
    except NotAnItem:
        return False
    reviewed = {"overall", "reviewerID", "user_id"} & set(product)
    return not reviewed and bool({"asin", "parent_asin"} & set(product)) and bool(KEYS & set(product))


def read_metadata(file: Location) -> Iterator[Part]:
    """The products as items."""
    aside, rows, literals = Aside("items", file.name), Rows("items", COLUMNS, file.name), 0
    for lines in read_lines(file, ROWS):
        for number, text in zip(lines.numbers, lines.texts, strict=True):
            try:
                product = _decode(text)
                rows.add(number, *_item(product))
            except NotAnItem as problem:
                aside.put(number, text, str(problem))
                continue
            literals += text.startswith("{'")
        yield from aside.take()
        yield from rows.take()
    if literals:
        yield Note(f"{file.name}: {literals:,} lines are Python literals and no JSON, as in the release of 2014.")


def _decode(text: str) -> dict[str, Any]:
    """A JSON object, or the Python literal of a dictionary; a literal is parsed, never run.

    Raises:
        NotAnItem: it is neither.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as problem:
        if not text.startswith("{'") or len(text) > LONGEST_LITERAL:
            raise NotAnItem(f"is not a JSON object: {problem}") from problem
    try:
        product = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as problem:
        raise NotAnItem(f"is neither JSON nor a Python literal: {type(problem).__name__}") from problem
    if not isinstance(product, dict):
        raise NotAnItem("is no object")
    return product


def _item(product: dict[str, Any]) -> tuple[str, str, str, str, Pairs]:
    number = text_of(product.get("parent_asin") or product.get("asin"))
    if not number:
        raise NotAnItem("has no asin")
    path = _path(product.get("categories") or product.get("category"))
    category = text_of(product.get("main_category") or product.get("main_cat")) or (path[0] if path else "")
    texts = [*_words(product.get("description")), *_words(product.get("features") or product.get("feature"))]
    return number, _clean(text_of(product.get("title"))), "\n".join(texts), _clean(category), _attributes(product, path)


def _path(categories: Any) -> list[str]:
    """The first path of categories: 2014 has a list of paths, later releases have one."""
    if isinstance(categories, list) and categories and isinstance(categories[0], list):
        categories = categories[0]
    return [_clean(text_of(step)) for step in categories if text_of(step)] if isinstance(categories, list) else []


def _words(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [text for entry in entries if (text := _clean(text_of(entry)))]


def _clean(text: str) -> str:
    """The text without HTML's entities and line breaks."""
    return " ".join(html.unescape(text).split())


def _attributes(product: dict[str, Any], path: list[str]) -> Pairs:
    brand = text_of(product.get("brand") or product.get("store"))
    pairs = [*_price(product.get("price")), ("brand", _clean(brand)), ("categories", "|".join(path))]
    return [(name, text) for name, text in pairs if text]


def _price(value: Any) -> Pairs:
    """A price as a number; what is none (a range, `from 9.99`) as it stands."""
    text = text_of(value)
    if not text or text in ("None", "—", "-"):
        return []
    found = PRICE.match(text)
    if found:
        return [("price", f"{float(found[1].replace(',', '') + (found[2] or '')):.2f}")]
    return [("price_text", text[:64])]
