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
# In transition to another state; a call would be refused or have no effect.
_TRANSITIONAL = ("PENDING", "PROVISIONING", "STAGING", "REPAIRING", "PENDING_STOP", "STOPPING", "SUSPENDING", "DEPROVISIONING")
# Land has 60 s to complete its batch, its unit 90 s to stop; the machine must wait longer than that before it powers off.
_GRACE_S = 120
_SERVICES_WITHIN_S = 480
_POLL_S = 2.0

# Statuses that a retry does not cure.
_PERMANENT = (400, 401, 403, 404)
_CURES = {
    401: "give Airflow's machine a service account with the scope cloud-platform, or connection google_cloud_default a key file",
    403: "grant that account roles/compute.instanceAdmin.v1 on the project, and check that the Compute Engine API is enabled",
    404: "compare EBAP_GCP_PROJECT, EBAP_GCP_ZONE and EBAP_NODES with `gcloud compute instances list`; Terraform creates missing ones",
    409: "another operation is in progress: `gcloud compute operations list --filter=status!=DONE` lists it; the next check retries",
    429: "too many calls to the API: the next check retries; if it persists, check the quotas of the Compute Engine API",
}
_STOCKOUT = (
    "the zone has no machine of this type available at the moment: the next check retries. "
    "If it persists: use another zone or machine type, or no Spot"
)
_OPERATION_CURES = {
    "STOCKOUT": _STOCKOUT,
    "ZONE_RESOURCE_POOL_EXHAUSTED": _STOCKOUT,
    "QUOTA": "request a higher quota under IAM & Admin, Quotas, or stop other machines of the project",
}
_UNREACHABLE = "check the connection to compute.googleapis.com: DNS, firewall, HTTPS_PROXY; the next check retries"
_BY_HAND = "the next check retries; if it persists: https://status.cloud.google.com, and infra/nodes/start or stop by hand"


class Machines:
    """The machines of these settings; a failed call raises with reason and cure, without retries where a retry cannot help."""

    def __init__(self, settings: Settings, run: str) -> None:
        from airflow.providers.google.cloud.hooks.compute import ComputeEngineHook  # a second of imports: not while a DAG file is parsed

        self._settings = settings
        self._run = run
        self._hook: ComputeEngineHook = ComputeEngineHook(api_version="v1")
        self._where = {"project_id": settings.gcp_project, "zone": settings.gcp_zone}

    def is_off(self, node: Node) -> bool:
        """Whether the machine is off, so that only its disk is charged."""
        return self._status(node) in _OFF

    def start(self, node: Node) -> None:
        """Start the machine unless it runs, and wait until its services respond."""
        if self._stable_status(node) != "RUNNING":
            self._journal(node, journal.STARTING)
            self._call("start", node)
            status = self._stable_status(node)
            if status != "RUNNING":
                raise AirflowException(
                    f"{node.name} was started and is {status} again. Next: {_STOCKOUT}; "
                    f"`gcloud compute operations list --filter=targetLink~{node.name}` shows a preemption"
                )
        self._wait_for_services(node)
        self._journal(node, journal.RUNNING)

    def stop(self, node: Node) -> None:
        """Stop the machine gracefully unless it is off, and wait until it is off."""
        if self._stable_status(node) in _OFF:
            self._journal(node, journal.OFF)
        else:
            self.give_back(node)

    def give_back(self, node: Node) -> None:
        """Stop the machine even if it reports off: a pending start may still complete, and the stop is queued after it."""
        self._journal(node, journal.STOPPING)
        self._call("stop", node)
        status = self._stable_status(node)
        if status not in _OFF:
            raise AirflowException(f"{node.name} was stopped and is {status}. Next: {_BY_HAND}")
        self._journal(node, journal.OFF)

    def refuse_abrupt(self, node: Node) -> None:
        """Raise unless graceful shutdown is enabled on the machine: otherwise a stop could interrupt a batch."""
        graceful = self._info(node).get("scheduling", {}).get("gracefulShutdown", {})
        if not graceful.get("enabled") or int(graceful.get("maxDuration", {}).get("seconds", 0)) < _GRACE_S:
            raise AirflowFailException(
                f"{node.name} is not stopped: it would power off before land has completed its batch. Next: "
                f"`gcloud beta compute instances set-scheduling {node.name} --zone {self._settings.gcp_zone} "
                f"--graceful-shutdown --graceful-shutdown-max-duration={_GRACE_S}s`"
            )

    def _status(self, node: Node) -> str:
        """Google's status, such as RUNNING or TERMINATED."""
        return str(self._info(node)["status"])

    def _info(self, node: Node) -> dict[str, Any]:
        return self._request(node, "describe", lambda: self._hook.get_instance_info(resource_id=node.name, **self._where))

    def _call(self, verb: str, node: Node) -> None:
        log.info("%s: %s", node.name, verb)
        method = getattr(self._hook, f"{verb}_instance")
        # The hook polls the operation without a limit of its own: the task's execution_timeout ends the wait.
        self._request(node, verb, lambda: method(resource_id=node.name, **self._where))

    def _request(self, node: Node, verb: str, call: Any) -> Any:
        from google.auth.exceptions import GoogleAuthError
        from googleapiclient.errors import HttpError
        from httplib2 import HttpLib2Error

        try:
            return call()
        except GoogleAuthError as error:
            raise AirflowFailException(f"no credentials to {verb} {node.name}: {error}. Next: {_CURES[401]}") from error
        except (HttpLib2Error, OSError) as error:
            raise AirflowException(f"Google's API is not reachable ({verb} {node.name}): {error}. Next: {_UNREACHABLE}") from error
        except HttpError as error:
            status = error.resp.status
            message = f"Google's API refused to {verb} {node.name}: {status} {error.reason}. Next: {_CURES.get(status, _BY_HAND)}"
            raise (AirflowFailException if status in _PERMANENT else AirflowException)(message) from error
        except AirflowException as error:
            cures = [cure for sign, cure in _OPERATION_CURES.items() if sign in str(error)]
            raise AirflowException(f"Google's API failed to {verb} {node.name}: {error}. Next: {(cures or [_BY_HAND])[0]}") from error

    def _stable_status(self, node: Node) -> str:
        """The status once it is not transitional; execution_timeout ends the wait."""
        while (status := self._status(node)) in _TRANSITIONAL:
            time.sleep(_POLL_S)
        return status

    def _wait_for_services(self, node: Node) -> None:
        for _ in wait.looks(_SERVICES_WITHIN_S, every_s=_POLL_S):
            missing = answers.missing(self._settings, node)
            if not missing:
                return
        raise AirflowException(
            f"{node.name} is RUNNING, but after {_SERVICES_WITHIN_S} s {'; '.join(missing)}. "
            f"Next: `gcloud compute ssh {node.name} --command 'systemctl --failed'`, and the journal of the failed units"
        )

    def _journal(self, node: Node, event: str) -> None:
        if event != journal.RUNNING or journal.last(self._settings, node.name) != event:  # not a line per check
            journal.write(self._settings, node.name, event, self._run, datetime.now(UTC))
