"""Machines switched through Google's API by the provider's unmodified hook, and the cure for each of its failures."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from infra.nodes import Node, answers, journal
from lakehouse import wait
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.compute import ComputeEngineHook

log = logging.getLogger(__name__)

_OFF = ("TERMINATED", "STOPPED")
# On its way to another state, where a call would be refused or wasted.
_MOVING = ("PENDING", "PROVISIONING", "STAGING", "REPAIRING", "PENDING_STOP", "STOPPING", "SUSPENDING", "DEPROVISIONING")
# Land has 60 s to end its batch, its unit 90 s to stop; the machine must wait longer than that before it cuts the power.
_GRACE_S = 120
_SERVICES_WITHIN_S = 480
_POLL_S = 2.0

# What asking again does not cure.
_FOR_GOOD = (400, 401, 403, 404)
_CURES = {
    401: "give Airflow's machine a service account with the scope cloud-platform, or connection google_cloud_default a key file",
    403: "grant that account roles/compute.instanceAdmin.v1 on the project (and see that the Compute Engine API is enabled)",
    404: "compare EBAP_GCP_PROJECT, EBAP_GCP_ZONE and EBAP_NODES with `gcloud compute instances list`; Terraform makes what is gone",
    409: "something else works on the machine: `gcloud compute operations list --filter=status!=DONE` shows it; the next look tries again",
    429: "too many calls to the API: the next look tries again; if it stays so, see the quotas of the Compute Engine API",
}
_STOCKOUT = (
    "the zone has no such machine to give at the moment: the next look tries again. "
    "If it stays so: another zone or machine type, or no Spot"
)
_OPERATION_CURES = {
    "STOCKOUT": _STOCKOUT,
    "ZONE_RESOURCE_POOL_EXHAUSTED": _STOCKOUT,
    "QUOTA": "ask for more under IAM & Admin, Quotas, or stop what else runs in the project",
}
_UNREACHED = "see the way out to compute.googleapis.com: name service, firewall, HTTPS_PROXY; the next look tries again"
_OURSELVES = "the next look tries again; if it stays so: https://status.cloud.google.com, and infra/nodes/start or stop by hand"


class Machines:
    """The machines of these settings; a failed call raises with reason and cure, and for good where a second try cannot help."""

    def __init__(self, settings: Settings, run: str) -> None:
        from airflow.providers.google.cloud.hooks.compute import ComputeEngineHook  # a second of imports: not while a DAG file is parsed

        self._settings = settings
        self._run = run
        self._hook: ComputeEngineHook = ComputeEngineHook(api_version="v1")
        self._where = {"project_id": settings.gcp_project, "zone": settings.gcp_zone}

    def is_off(self, node: Node) -> bool:
        """Whether it costs nothing but its disk."""
        return self._status(node) in _OFF

    def start(self, node: Node) -> None:
        """Start it and wait until its services answer; one that runs is only waited for."""
        if self._settled(node) != "RUNNING":
            self._journal(node, journal.STARTING)
            self._call("start", node)
            status = self._settled(node)
            if status != "RUNNING":
                raise AirflowException(
                    f"{node.name} was started and is {status} again. Next: {_STOCKOUT}; "
                    f"`gcloud compute operations list --filter=targetLink~{node.name}` shows a preemption"
                )
        self._wait_for_services(node)
        self._journal(node, journal.RUNNING)

    def stop(self, node: Node) -> None:
        """Stop it gracefully and wait until it is off; one that is off is left alone."""
        if self._settled(node) in _OFF:
            self._journal(node, journal.OFF)
        else:
            self.give_back(node)

    def give_back(self, node: Node) -> None:
        """Stop it even where it seems off: a start that still hangs may come through, and the stop waits behind it."""
        self._journal(node, journal.STOPPING)
        self._call("stop", node)
        status = self._settled(node)
        if status not in _OFF:
            raise AirflowException(f"{node.name} was stopped and is {status}. Next: {_OURSELVES}")
        self._journal(node, journal.OFF)

    def refuse_abrupt(self, node: Node) -> None:
        """Raise unless the machine waits for its services when it is stopped: else a batch could be cut in the middle."""
        graceful = self._info(node).get("scheduling", {}).get("gracefulShutdown", {})
        if not graceful.get("enabled") or int(graceful.get("maxDuration", {}).get("seconds", 0)) < _GRACE_S:
            raise AirflowFailException(
                f"{node.name} is not stopped: it would not wait until land has ended its batch. Next: "
                f"`gcloud beta compute instances set-scheduling {node.name} --zone {self._settings.gcp_zone} "
                f"--graceful-shutdown --graceful-shutdown-max-duration={_GRACE_S}s`"
            )

    def _status(self, node: Node) -> str:
        """In Google's words, such as RUNNING or TERMINATED."""
        return str(self._info(node)["status"])

    def _info(self, node: Node) -> dict[str, Any]:
        return self._asked(node, "look at", lambda: self._hook.get_instance_info(resource_id=node.name, **self._where))

    def _call(self, verb: str, node: Node) -> None:
        log.info("%s: %s", node.name, verb)
        method = getattr(self._hook, f"{verb}_instance")
        # It polls the operation until it is done, without an end of its own: the task's execution_timeout is the end.
        self._asked(node, verb, lambda: method(resource_id=node.name, **self._where))

    def _asked(self, node: Node, verb: str, call: Any) -> Any:
        from google.auth.exceptions import GoogleAuthError
        from googleapiclient.errors import HttpError
        from httplib2 import HttpLib2Error

        try:
            return call()
        except GoogleAuthError as error:
            raise AirflowFailException(f"Google is not asked to {verb} {node.name}: {error}. Next: {_CURES[401]}") from error
        except (HttpLib2Error, OSError) as error:
            raise AirflowException(f"Google's API does not answer ({verb} {node.name}): {error}. Next: {_UNREACHED}") from error
        except HttpError as error:
            status = error.resp.status
            told = f"Google refuses to {verb} {node.name}: {status} {error.reason}. Next: {_CURES.get(status, _OURSELVES)}"
            raise (AirflowFailException if status in _FOR_GOOD else AirflowException)(told) from error
        except AirflowException as error:
            cures = [cure for sign, cure in _OPERATION_CURES.items() if sign in str(error)]
            raise AirflowException(f"Google could not {verb} {node.name}: {error}. Next: {(cures or [_OURSELVES])[0]}") from error

    def _settled(self, node: Node) -> str:
        """Its state once it is not on its way to another one; execution_timeout is the end of the wait."""
        while (status := self._status(node)) in _MOVING:
            time.sleep(_POLL_S)
        return status

    def _wait_for_services(self, node: Node) -> None:
        for _ in wait.looks(_SERVICES_WITHIN_S, every_s=_POLL_S):
            missing = answers.missing(self._settings, node)
            if not missing:
                return
        raise AirflowException(
            f"{node.name} is RUNNING, but after {_SERVICES_WITHIN_S} s {'; '.join(missing)}. "
            f"Next: `gcloud compute ssh {node.name} --command 'systemctl --failed'`, and the journal of what it names"
        )

    def _journal(self, node: Node, event: str) -> None:
        if event != journal.RUNNING or journal.last(self._settings, node.name) != event:  # not a line at every look
            journal.write(self._settings, node.name, event, self._run, datetime.now(UTC))
