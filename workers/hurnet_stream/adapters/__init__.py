"""The outside world behind the ports, one room for each system.

    embedders/       from text to vectors
    kafka/           sources, sinks, exchanges and couriers
    redis/           the store of entries, the solver's weights, the leases
    page_server.py   /metrics, /startz, /livez and /readyz over HTTP
    traces.py        spans to OpenTelemetry

No room imports another, and only wiring/, the commands, terminal/ and local/ import any of them.
"""
