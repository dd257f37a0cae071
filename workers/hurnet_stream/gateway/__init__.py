"""The gateway: HTTP in front of Kafka, so that every promise of the topics holds for programs, too.

server      uvicorn in this process: its socket, its end, its health
app         all routes together, and what every request passes
gateway     what routes share: the switchboard, the settings, the metrics
asking      POST /v1/ask
body        a request's body as a message; problems: errors as RFC 9457 has them
"""
