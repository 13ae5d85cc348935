"""`zdc serve` as a separate process."""

import os
import re
import subprocess
import sys

TIMEOUT = 60


class Process:
    """A server and its output until it was ready."""

    def __init__(self, *options: str):
        command = [sys.executable, "-m", "zdc_service.cli", "serve", "--http-port", "0", "--grpc-port", "0", *options]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.popen.stdout is not None
        self.addresses, self.curl = self.popen.stdout.readline(), self.popen.stdout.readline()
        found = re.search(r"(http://\S+) .* gRPC on (\S+)", self.addresses)
        assert found is not None, self.popen.communicate()
        self.http, self.grpc = found.groups()
        if "--management-port" in options:
            self.management = self.popen.stdout.readline().split()[-1]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal, wait; exit code and stderr."""
        self.popen.send_signal(number)
        _, err = self.popen.communicate(timeout=TIMEOUT)
        return self.popen.returncode, err
