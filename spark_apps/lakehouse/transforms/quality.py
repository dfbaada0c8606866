"""What a table promises about its rows, judged row by row.

A condition that is NULL counts as kept. So does one that names a column whose value has not come yet (an unchanged value, known
only after inheritance): judge such a row again once it is resolved, with the names still missing as `unknown`.
"""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from lakehouse.contract import Expect, Severity, Table


def broken(table: Table, severity: Severity, unknown: Column) -> Column:
    """ARRAY<STRING>: names of the expectations of that severity which the row breaks, in declared order.

    Reads the declared columns by name; `unknown` is an ARRAY<STRING> of those whose value is not known.
    """
    names = [_name_if_broken(expect, table, unknown) for expect in table.expects if expect.severity is severity]
    return F.array_compact(F.array(*names)) if names else F.array().cast("ARRAY<STRING>")


def _name_if_broken(expect: Expect, table: Table, unknown: Column) -> Column:
    is_kept = F.coalesce(F.expr(expect.condition), F.lit(True))
    # A word of a string literal that happens to be a column name only makes the judgement wait: never wrong, at worst late.
    named = [F.lit(name) for name in table.column_names if re.search(rf"\b{name}\b", expect.condition, re.IGNORECASE)]
    is_known = ~F.arrays_overlap(unknown, F.array(*named)) if named else F.lit(True)
    return F.when(~is_kept & is_known, F.lit(expect.name))
