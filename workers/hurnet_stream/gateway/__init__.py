"""The gateway: HTTP in front of Kafka, so that every promise of the topics holds for programs, too.

server      uvicorn in this process: its socket, its end, its health; `connections` bounds what clients hold
app         all routes together, behind the guards
guards      what every request passes: origins, keys (by `access`), limits, bodies
gateway     what routes share: the switchboard, the settings, the metrics, what is read and written
reading     calls that block, few at a time; `readings` is what there is to read, `children` are commands
body        a request's body as a message; `places` of records; `parameters` of the query
problems    errors as RFC 9457 has them
openapi     the document of all routes, which stand in `openapi_table`

Every other module is a set of routes: asking, teaching, corrections, files, contexts, receipts and so on.
"""
