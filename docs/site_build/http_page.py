"""Reference of the HTTP interface, made from the OpenAPI document of the application."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from zdc_service.serving.http.app import create_http_app
from zdc_service.settings import ServerSettings
from zdc_service.simulating.simulator import Simulator

from markdown_cells import cell

Schema = dict[str, Any]


def openapi_document() -> Schema:
    """The document at /openapi.json of a server with the shipped models."""
    settings = ServerSettings(threads=1)
    with Simulator(settings) as simulator:
        app = create_http_app(simulator, ready=lambda: True, body_limit=settings.body_limit)
        document: Schema = json.loads(asyncio.run(_get(app, "/openapi.json")))
    return document


async def _get(app: Any, path: str) -> bytes:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        reply = await client.get(path)
        reply.raise_for_status()
        return reply.content


def http_page(document: Schema) -> str:
    """Tables of the routes, the request and the reply.

    Parameters
    ----------
    document : OpenAPI, with the schemas in `components`.
    """
    return "\n\n".join(_parts(document)) + "\n"


def _parts(document: Schema) -> Iterator[str]:
    yield "# HTTP interface"
    yield (
        f"Version {document['info']['version']}. This page is made from the server's [OpenAPI document](openapi.json). "
        "A running server has the same document at `/openapi.json`, and a page to try it at `/docs`. Examples are in "
        "[HTTP](../how-to/http.md)."
    )
    yield "## Routes"
    rows = [
        (f"`{method.upper()} {path}`", operation.get("summary", ""), _parameters(operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    yield _table(("route", "what it does", "parameters"), rows)
    yield (
        "The routes below `/v2` are those of the Open Inference Protocol: "
        "[clients of Triton and KServe](../how-to/open-inference-protocol.md)."
    )
    schemas = document["components"]["schemas"]
    operation = document["paths"]["/simulate"]["post"]
    body = _resolved(schemas, operation["requestBody"]["content"]["application/json"]["schema"])
    yield from _fields("Body of POST /simulate", schemas, body)
    particles = body["properties"]["particles"]["anyOf"][0]["items"]
    yield from _fields("A particle", schemas, particles)
    for name in ("SimulateReply", "HitsReply", "ErrorReply", "ModelSummary"):
        yield from _fields(name, schemas, schemas[name])


def _fields(title: str, schemas: Schema, schema: Schema) -> Iterator[str]:
    yield f"## {title}"
    if "description" in schema:
        yield str(schema["description"])
    required = schema.get("required", ())
    rows = []
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"`{json.dumps(field['default'])}`" if "default" in field else ""
        rows.append((f"`{name}`", _kind(schemas, field), default, cell(field.get("description", ""))))
    yield _table(("field", "type", "default", "meaning"), rows)


def _parameters(operation: Schema) -> str:
    return ", ".join(f"`{parameter['name']}`" for parameter in operation.get("parameters", ()))


def _resolved(schemas: Schema, schema: Schema) -> Schema:
    found: Schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _kind(schemas: Schema, field: Schema) -> str:
    """The type of a field in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        target = schemas[name]
        return _kind(schemas, target) if "enum" in target else name
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    if "anyOf" in field:
        kinds = [_kind(schemas, one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        items: Schema = field.get("items") or next(iter(field.get("prefixItems", ())), {})
        return f"list of {_kind(schemas, items)}"
    return str(
        field.get("title") if field.get("type") == "object" and "properties" in field else field.get("type", "any")
    )


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
