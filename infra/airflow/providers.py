"""Registrations of the providers for assets, loaded once in the process that forks.

Each process that creates an asset loads them, which with Google's provider takes half a CPU second: in the parser, which forks for every
file once a minute, and in every task. A fork inherits them at no cost.
"""

from __future__ import annotations


def load() -> None:
    """Load the registrations."""
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    ProvidersManagerTaskRuntime().initialize_providers_asset_uri_resources()
