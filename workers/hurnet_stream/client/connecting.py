"""How connections over HTTP are made: proxies and authorities are those that the environment names."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import partial

import httpx

from hurnet_stream.client.addresses import is_loopback
from hurnet_stream.client.errors import ClientError, InvalidRequest


def maker(
    server: str, headers: Mapping[str, str], inner: httpx.AsyncBaseTransport | None
) -> Callable[[], httpx.AsyncClient]:
    """What makes a client of httpx for this server. `inner` takes the place of the network.

    Proxies are never for this machine itself. Raises `ClientError` if the environment names a proxy or
    authorities that can't be used, and `InvalidRequest` if the server can't be one."""
    try:
        host = httpx.URL(server).host
    except httpx.InvalidURL as error:
        raise InvalidRequest(str(error), "address") from None
    make = partial(
        httpx.AsyncClient,
        base_url=server,
        headers=headers,
        transport=inner,
        trust_env=not is_loopback(host),
        verify=_authorities(),  # once, since it takes 20 ms
    )
    try:
        make()  # what can't be used is told now, and not at the first call
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        # A proxy's address may hold a password. Only the words about a missing package never repeat it.
        why = f" ({error})" if isinstance(error, ImportError) else ""
        raise ClientError(
            "the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names can't be used: it must be"
            f" http://HOST:PORT{why}"
        ) from None
    return make


def _authorities() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # SSLError is one, too
        raise ClientError(
            f"the authorities that SSL_CERT_FILE or SSL_CERT_DIR names can't be read: {error}"
        ) from None


def advice(said: str) -> str:
    """What to do about a connection that failed and `said` this."""
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            "If it is the right server, SSL_CERT_FILE must name a file with the authority that vouches for it"
        )
    if "SSL" in said:
        return "Does this port speak TLS? If not, its address begins with http://"
    return "Does `hurnet gateway` run there?"
