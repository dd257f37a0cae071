"""A server that speaks as Amazon's S3 does: moto's, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "bucket"


@contextmanager
def s3() -> Iterator[tuple[ThreadedMotoServer, str]]:
    """The server, and the URL of a folder in a bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    named = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **named).create_bucket(Bucket=BUCKET)
    try:
        yield server, f"s3://{BUCKET}/a/folder?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.stop()
