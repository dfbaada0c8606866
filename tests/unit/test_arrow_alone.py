"""A process that reads the lake does not load pandas."""

from __future__ import annotations

import subprocess
import sys


def test_neither_reading_nor_making_arrays_loads_pandas() -> None:
    code = (
        "import sys; from lakehouse.delta import reading; from lakehouse.transforms.records import arrow; import pyarrow as pa\n"
        "rows = pa.table({'a': [1, None], 'b': ['x', 'y']}); con = reading.connect()\n"
        "assert con.sql('FROM rows').to_arrow_table().equals(rows); print('pandas' in sys.modules)\n"
        "import pandas; print(pandas.DataFrame({'a': [1]}).shape)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["False", "(1, 1)"], "who needs pandas still has it"
