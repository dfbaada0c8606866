"""A temporary Airflow home: policy tests use no metadata database and leave no files."""

import importlib.util
import os
import tempfile

if importlib.util.find_spec("airflow"):
    _HOME = tempfile.TemporaryDirectory(prefix="ebap-airflow-policy-")  # removed with this module
    os.environ["AIRFLOW_HOME"] = _HOME.name
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
