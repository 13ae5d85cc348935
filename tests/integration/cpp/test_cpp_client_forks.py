"""The C++ client in forked processes: calls work, or are refused at once instead of hanging."""

import subprocess

import pytest
from helpers.callers.cpp_build import BuiltClient, built_client, needs_tools
from helpers.servers.running_server import RunningServer

pytestmark = [pytest.mark.slow, needs_tools]

CHILDREN = ("child", "child's child", "second child", "second child's child")
REFUSED = "9 not_ready: this process was forked after its parent had created a client"
NOT_ITS_OWN = "9 not_ready: the client belongs to the parent process"


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


@pytest.mark.parametrize("situation", ["none", "closed", "unused", "used"])
def test_forked_processes_are_answered_or_refused_at_once(
    cpp: BuiltClient, server: RunningServer, situation: str
) -> None:
    command = [str(cpp.programs / "forks"), f"grpc://{server.grpc}", situation]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert said.pop("parent again") == "answered"  # unaffected by its children
    assert {who: said.pop(f"{who} ended") for who in CHILDREN} == dict.fromkeys(CHILDREN, "0")
    if situation in ("used", "closed"):
        assert said.pop("parent") == "answered"
    first = ("child", "second child")
    if situation == "none":
        assert [said.pop(who) for who in first] == ["answered", "answered"]
    for who in CHILDREN[1::2] if situation == "none" else CHILDREN:
        answer = said.pop(who)
        assert answer.startswith(REFUSED)
        assert "create the first client after fork(), or start a new program in the child (exec)" in answer
    for who in first if situation in ("unused", "used") else ():
        assert said.pop(f"{who} with the parent's").startswith(NOT_ITS_OWN)
    assert said == {}
