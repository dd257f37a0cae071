"""The outside world behind the ports, one room for each system.

    embedders/   from text to vectors
    kafka/       sources, sinks and exchanges
    redis/       the store of entries, the solver's weights, the leases
    probes.py    /metrics, /livez and /readyz over HTTP

No room imports another, and only wiring.py, the commands and hurnet_stream.local import any of them.
"""
