"""Checks hosts and URLs that settings name, and hides the passwords of URLs in texts. Pure."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_USER = re.compile(r"://[^\s\"']{1,2000}@|\b((?:ssl)?password=)[^\s\"'&]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without the users and passwords of its URLs.

    A password may hold an `@` that nobody escaped, so all up to the last one is hidden.
    """
    return _USER.sub(lambda found: f"{found[1]}***" if found[1] else "://***@", text)


def without_user(url: str) -> str:
    """Return one URL, which may be malformed, without the user and password in it."""
    return re.sub(r"^([a-z]+:/*)?.*@", r"\1***@", url, flags=re.IGNORECASE | re.DOTALL)


def host(value: str) -> str:
    """Return a host name or an address. Raises ValueError."""
    if not _HOST.fullmatch(value):
        try:
            ip_address(value)
        except ValueError:
            raise ValueError(
                "is no host; write a name or an address, without scheme, port and spaces"
            ) from None
    return value


def port(value: str) -> int:
    """Return a port as a number. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise ValueError("has no port from 1 to 65535")
    return int(value)


def host_ports(value: str) -> str:
    """Return `host:port[,host:port]` without spaces. Raises ValueError."""
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        name, _, number = server.rpartition(":")
        try:
            host(re.sub(r"^\[(.*)\]$", r"\1", name))
            port(number)
        except ValueError as error:
            raise ValueError(f"{error}; write host:port[,host:port]") from None
    return ",".join(servers)


def http_url(value: str) -> str:
    """Return the base URL of an HTTP API. Raises ValueError."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and not parts.query + parts.fragment
        good = good and parts.port != 0 and bool(re.fullmatch("[!-~]+", value))
        host(parts.hostname or "")
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "is no base URL; write http://host:port or https://host, without spaces and query"
        )
    return value


def is_safe(url: str) -> bool:
    """Tell whether nobody on the way can change what a URL answers: https, or this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and here))
