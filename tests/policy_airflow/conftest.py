"""An Airflow home of the tests' own: a policy test touches no metadata database and leaves nothing behind."""

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ebap-airflow-policy-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
