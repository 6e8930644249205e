"""The import of the Ray engine: Ray is an extra, and reads its environment while it is imported."""

import os
import secrets

from lora_lab.engine.protocol import Engine
from study.base.errors import LearnerError
from study.base.settings import Settings

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # else it reports to its makers
    "RAY_AIR_NEW_OUTPUT": "0",  # standard output belongs to the summaries
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run folders are the log
}
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch, on every system, between the loopback address and one that other machines reach."""


def build_ray_engine(settings: Settings, *, address: str | None, cpus_per_run: int | None) -> Engine:
    """Build the engine for the cluster at `address`, or for one that only this process can reach.

    Raises LearnerError when Ray is not installed.
    """
    os.environ |= QUIET
    if address is None:
        token = secrets.token_hex(32)
        os.environ |= {LOOPBACK: "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    try:
        from lora_lab.engine.ray import RayEngine
    except ImportError as error:
        raise LearnerError(
            "Ray is not installed.", do_next="Install it with: pip install -r requirements-ray.txt"
        ) from error
    return RayEngine(settings, address=address, cpus_per_run=cpus_per_run)
