"""Tests whether an address or a host name is reachable only from this machine."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address or ``localhost``, without a DNS query.

    Parameters
    ----------
    host : A name, an IPv4 address, or an IPv6 address with or without brackets.
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return is_localhost(host)


def is_localhost(name: str) -> bool:
    """Whether a name in lower case is a special name of this machine (RFC 6761, section 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def resolves_to_loopback(host: str) -> bool:
    """Whether all addresses of a host are loopback addresses; False if its name cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(is_loopback(str(address[0])) for *_, address in found)
