"""Warn about misspelt environment variables, which would have no effect."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import get_args

from pydantic_settings import BaseSettings

_PREFIX = "ZDC_"
#: Variables that are not options: examples in the documentation use this one for a token.
_OTHERS = {"ZDC_TOKEN"}
#: Variables that Kubernetes sets in every container for a service with a name that begins with zdc.
_OF_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PORT|PROTO|ADDR))?)")


def warnings_about(environment: Mapping[str, str], command: type[BaseSettings]) -> Iterator[str]:
    """A warning for each variable with the prefix ZDC_ that no subcommand of `command` reads."""
    known = _known(command)
    for name, value in sorted(environment.items()):
        plain = name.upper()
        if not plain.startswith(_PREFIX) or plain in known or plain in _OTHERS:
            continue
        if _OF_KUBERNETES.fullmatch(plain) or (plain.endswith("_PORT") and "://" in value):
            continue
        meant = get_close_matches(plain, known, n=1, cutoff=0.75)
        yield f"{name} is not an option and has no effect" + (f"; did you mean {meant[0]}?" if meant else "")


def _known(command: type[BaseSettings]) -> set[str]:
    known = set()
    for subcommand in command.model_fields.values():
        for model in get_args(subcommand.annotation):
            if isinstance(model, type) and issubclass(model, BaseSettings):
                known |= {f"{model.model_config.get('env_prefix')}{name}".upper() for name in model.model_fields}
    return known
