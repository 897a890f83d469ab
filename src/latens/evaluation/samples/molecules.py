"""Molecules among strings, by RDKit: which are valid, and how each of these is written in one way."""

import importlib.util
from collections.abc import Iterable
from typing import Any

from latens.kinds.text.tokens import library


def has_rdkit() -> bool:
    """Whether RDKit is installed."""
    return importlib.util.find_spec("rdkit") is not None


def canonical(texts: Iterable[str]) -> list[str | None]:
    """Write molecules as RDKit writes them, so that equal ones are equal; None where a string is no molecule."""
    chem: Any = library("rdkit.Chem", "molecules", "numbers of molecules", "--all")
    log: Any = library("rdkit.RDLogger", "molecules", "numbers of molecules", "--all")
    log.DisableLog("rdApp.*")  # a line on the terminal for every string that is no molecule
    try:
        found = (chem.MolFromSmiles(text) if text else None for text in texts)
        return [None if one is None or not one.GetNumAtoms() else chem.MolToSmiles(one) for one in found]
    finally:
        log.EnableLog("rdApp.*")
