"""A program around the unmodified `tritonclient`, for `integration/inference/test_inference_tritonclient.py`.

Run in a separate process, because its messages and ours have the same names::

    python triton_client.py infer WAY HTTP GRPC IN.npz OUT.npz
    python triton_client.py facts http|grpc HTTP GRPC
    python triton_client.py reload http|grpc HTTP GRPC MODEL
    python triton_client.py descriptors
"""

import asyncio
import json
import queue
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TIMEOUT = 60

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Question:
    """One call of infer."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("particles",)
    outputs: tuple[str, ...] = ()
    model: str = "tiny"
    version: str = ""
    timeout: int | None = None


QUESTIONS = (
    Question("seeded", {"seed": 7, "first_row": 5}),
    Question("seedless"),
    Question("noise", {"seed": 7}, inputs=("noise", "particles")),
    Question("channels", {"seed": 7}, outputs=("channels",)),
    Question("both", {"seed": 7}, outputs=("channels", "response")),
    Question("rates", {"seed": 7, "rates": True}),
    Question("version", {"seed": 7}, version="1"),
    Question("strips", {"seed": 7}, inputs=("pdg", "particles"), model="strips"),
    Question("patient", {"seed": 7}, timeout=60_000_000),
    Question("hurried", {"seed": 7}, timeout=1),
    Question("misspelt", {"sed": 7}),
    Question("unknown model", model="nope"),
)


def inputs_of(module: Any, question: Question, arrays: Arrays, **options: Any) -> list[Any]:
    inputs = []
    for name in question.inputs:
        tensor = module.InferInput(name, arrays[name].shape, np_to_triton_dtype(arrays[name].dtype))
        tensor.set_data_from_numpy(arrays[name], **options)
        inputs.append(tensor)
    return inputs


def options_of(module: Any, question: Question, **options: Any) -> dict[str, Any]:
    outputs = [module.InferRequestedOutput(name, **options) for name in question.outputs]
    return {
        "model_version": question.version,
        "outputs": outputs or None,
        "request_id": question.name,
        "parameters": question.parameters,
        "timeout": question.timeout,
    }


Ask = Callable[[Question, Arrays], Any]


def over_http(url: str, binary: bool) -> Ask:
    client = http_client.InferenceServerClient(url, network_timeout=TIMEOUT, connection_timeout=TIMEOUT)

    def ask(question: Question, arrays: Arrays) -> Any:
        if not binary and not question.outputs:  # without outputs tritonclient asks for bytes by itself
            question = Question(**{**vars(question), "outputs": ("response", "channels")})
        inputs = inputs_of(http_client, question, arrays, binary_data=binary)
        return client.infer(question.model, inputs, **options_of(http_client, question, binary_data=binary))

    return ask


def over_http_compressed(url: str) -> Ask:
    client = http_client.InferenceServerClient(url, network_timeout=TIMEOUT, connection_timeout=TIMEOUT)

    def ask(question: Question, arrays: Arrays) -> Any:
        coding = "gzip" if len(question.name) % 2 else "deflate"
        options = options_of(http_client, question) | {"request_compression_algorithm": coding}
        return client.infer(question.model, inputs_of(http_client, question, arrays), **options)

    return ask


def over_http_aio(url: str) -> Ask:
    def ask(question: Question, arrays: Arrays) -> Any:
        async def infer() -> Any:
            async with http_aio.InferenceServerClient(url) as client:
                inputs = inputs_of(http_aio, question, arrays)
                return await client.infer(question.model, inputs, **options_of(http_aio, question))

        return asyncio.run(infer())

    return ask


def over_grpc(url: str) -> Ask:
    client = grpc_client.InferenceServerClient(url)

    def ask(question: Question, arrays: Arrays) -> Any:
        options = options_of(grpc_client, question)
        return client.infer(question.model, inputs_of(grpc_client, question, arrays), client_timeout=TIMEOUT, **options)

    return ask


def answer_of(answers: "queue.Queue[tuple[Any, Any]]") -> Any:
    result, error = answers.get(timeout=TIMEOUT)
    if error is not None:
        raise error
    return result


def over_grpc_async(url: str) -> Ask:
    client = grpc_client.InferenceServerClient(url)

    def ask(question: Question, arrays: Arrays) -> Any:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.async_infer(
            question.model,
            inputs_of(grpc_client, question, arrays),
            lambda result, error: answers.put((result, error)),
            **options_of(grpc_client, question),
        )
        return answer_of(answers)

    return ask


def over_grpc_stream(url: str, at_end: ExitStack) -> Ask:
    client = grpc_client.InferenceServerClient(url)
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    at_end.callback(client.stop_stream)

    def ask(question: Question, arrays: Arrays) -> Any:
        inputs = inputs_of(grpc_client, question, arrays)
        client.async_stream_infer(
            question.model, inputs, enable_empty_final_response=True, **options_of(grpc_client, question)
        )
        return answer_of(answers)

    return ask


def over_grpc_aio(url: str) -> Ask:
    def ask(question: Question, arrays: Arrays) -> Any:
        async def infer() -> Any:
            async with grpc_aio.InferenceServerClient(url) as client:
                inputs = inputs_of(grpc_aio, question, arrays)
                return await client.infer(question.model, inputs, **options_of(grpc_aio, question))

        return asyncio.run(infer())

    return ask


def over_grpc_aio_stream(url: str) -> Ask:
    def ask(question: Question, arrays: Arrays) -> Any:
        async def requests() -> AsyncIterator[dict[str, Any]]:
            inputs = inputs_of(grpc_aio, question, arrays)
            yield {"model_name": question.model, "inputs": inputs, **options_of(grpc_aio, question)}

        async def infer() -> Any:
            async with grpc_aio.InferenceServerClient(url) as client:
                ((result, error),) = [answer async for answer in client.stream_infer(requests())]
                if error is not None:
                    raise error
                return result

        return asyncio.run(infer())

    return ask


def asking(way: str, http: str, grpc: str, at_end: ExitStack) -> Ask:
    return {
        "http": lambda: over_http(http, binary=True),
        "http_json": lambda: over_http(http, binary=False),
        "http_compressed": lambda: over_http_compressed(http),
        "http_aio": lambda: over_http_aio(http),
        "grpc": lambda: over_grpc(grpc),
        "grpc_async": lambda: over_grpc_async(grpc),
        "grpc_stream": lambda: over_grpc_stream(grpc, at_end),
        "grpc_aio": lambda: over_grpc_aio(grpc),
        "grpc_aio_stream": lambda: over_grpc_aio_stream(grpc),
    }[way]()


def infer(way: str, http: str, grpc: str, source: str, target: str) -> None:
    """Make all calls; write the outputs to ``OUT.npz`` and everything else to standard output."""
    with np.load(source) as file:
        arrays = dict(file)
    outputs: Arrays = {}
    said: dict[str, Any] = {}
    with ExitStack() as at_end:
        ask_all(asking(way, http, grpc, at_end), way, arrays, outputs, said)
    np.savez(target, **outputs)  # type: ignore[arg-type]
    print(json.dumps(said))


def ask_all(ask: Ask, way: str, arrays: Arrays, outputs: Arrays, said: dict[str, Any]) -> None:
    for question in QUESTIONS:
        try:
            result = ask(question, arrays)
        except InferenceServerException as error:
            said[question.name] = {"error": error.message(), "status": error.status()}
            continue
        response = result.get_response() if "http" in way else result.get_response(as_json=True)
        said[question.name] = {
            "model": [response["model_name"], response["model_version"]],
            "id": response["id"],
            "outputs": [output["name"] for output in response["outputs"]],
            "parameters": {name: _value(value) for name, value in response["parameters"].items()},
        }
        for output in response["outputs"]:
            outputs[f"{question.name} {output['name']}"] = result.as_numpy(output["name"])


def _value(value: Any) -> Any:
    """A parameter; messages as JSON have it under the name of its type, and 64-bit integers as text."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    return int(inner) if kind == "int64_param" else inner


def client_of(protocol: str, http: str, grpc: str) -> tuple[Any, dict[str, Any]]:
    """A client, and a function that converts its answers to dicts."""
    if protocol == "http":
        return http_client.InferenceServerClient(http), {}
    return grpc_client.InferenceServerClient(grpc), {"as_json": True}


def facts(protocol: str, http: str, grpc: str) -> None:
    """Metadata of a server and its models."""
    client, form = client_of(protocol, http, grpc)
    said = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": [client.is_model_ready(*name) for name in (("tiny",), ("tiny", "1"), ("tiny", "9"), ("nope",))],
        "server": client.get_server_metadata(**form),
        "tiny": client.get_model_metadata("tiny", **form),
        "strips": client.get_model_metadata("strips", "1", **form),
        "config": client.get_model_config("strips", "1", **form),
        "statistics": client.get_inference_statistics("tiny", "2", **form),
        "all statistics": client.get_inference_statistics(**form),
        "index": client.get_model_repository_index(**form),
        "errors": [
            _error(lambda: client.get_model_metadata("nope")),
            _error(lambda: client.get_model_config("tiny", "9")),
            _error(lambda: client.get_inference_statistics("tiny", "x")),
        ],
    }
    print(json.dumps(said))


def reload(protocol: str, http: str, grpc: str, model: str) -> None:
    """Unload a model and load it again."""
    client, form = client_of(protocol, http, grpc)

    def state() -> list[Any]:
        return [client.is_model_ready(model), client.get_model_repository_index(**form)]

    said: list[Any] = [state()]
    client.unload_model(model)
    said.append(state())
    client.load_model(model)
    said.append(state())
    said.append(_error(lambda: client.load_model("nope")))
    said.append(_error(lambda: client.unload_model("nope")))
    said.append(_error(lambda: client.load_model(model, config="{}")))
    print(json.dumps(said))


def _error(call: Callable[[], Any]) -> list[str]:
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return []


def descriptors() -> None:
    """The messages, enums and methods of the published protocol, as serialized files."""
    from tritonclient.grpc import model_config_pb2, service_pb2

    for module in (model_config_pb2, service_pb2):
        print(module.DESCRIPTOR.serialized_pb.hex())


def main(command: str, arguments: Iterable[str]) -> None:
    commands: dict[str, Callable[..., None]] = {
        "infer": infer, "facts": facts, "reload": reload, "descriptors": descriptors
    }  # fmt: skip
    commands[command](*arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
