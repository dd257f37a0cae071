"""A real gateway that takes claims over after two seconds: `python -m tests.faults.impatient`."""

from __future__ import annotations

import sys

from hurnet_stream.gateway import idempotency

STALE_S = 2.0

if __name__ == "__main__":
    idempotency.STALE_S = STALE_S  # type: ignore[misc] # so that a test need not wait for half a minute
    from hurnet_stream.settings import settings
    from hurnet_stream.wiring.gateway import run_gateway

    sys.exit(run_gateway(settings.load()))
