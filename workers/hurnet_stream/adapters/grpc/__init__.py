"""How slices are asked, over gRPC: bytes in, bytes out, so that no code is generated.

server.py        `SliceDoor`: one method, and a bounded number of requests that wait
client.py        `SliceCalls`: a channel for each address, all slices asked at once
credentials.py   TLS, mutual TLS, and the secret that both sides share
"""

from hurnet_stream.adapters.grpc.client import GrpcSliceCalls
from hurnet_stream.adapters.grpc.server import GrpcSliceDoor

__all__ = ["GrpcSliceCalls", "GrpcSliceDoor"]
