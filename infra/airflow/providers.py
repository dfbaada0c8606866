"""Registrations of the providers for assets, loaded once in the process that forks.

Each process that makes an asset looks these up, and with Google's among them that is half a CPU second: in a parser that forks for
every file once a minute, and in every task. A fork of a process that has them pays nothing.
"""

from __future__ import annotations


def load() -> None:
    """Look them up now."""
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    ProvidersManagerTaskRuntime().initialize_providers_asset_uri_resources()
