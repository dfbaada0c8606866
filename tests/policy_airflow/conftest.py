"""An Airflow home of the tests' own: a policy test touches no metadata database and leaves nothing behind."""

import importlib.util
import os
import tempfile

if importlib.util.find_spec("airflow"):
    _HOME = tempfile.TemporaryDirectory(prefix="ebap-airflow-policy-")  # removed when this module goes
    os.environ["AIRFLOW_HOME"] = _HOME.name
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
