"""All tables by name."""

from __future__ import annotations

from . import tables_dct, tables_dvp, tables_notes, tables_ou
from .jobs import Table

TABLES: dict[str, Table] = {
    table.name: table
    for module in (tables_dct, tables_ou, tables_dvp, tables_notes)
    for table in module.TABLES
}

SEARCH = "ou-vae/search"


def named(names: tuple[str, ...]) -> list[Table]:
    """Return tables by name: `all`, a paper (`dvp-vae`), or a table (`dvp-vae/4`).

    Raises:
        KeyError: no table has such a name.
    """
    found: dict[str, Table] = {}
    for name in names:
        chosen = {
            key: table
            for key, table in TABLES.items()
            if name in ("all", key, key.partition("/")[0])
        }
        if not chosen:
            raise KeyError(name)
        found |= chosen
    return list(found.values())
