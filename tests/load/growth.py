"""One job of 1 to 1,000,000 particles over one client: time, and peak memory of both sides.

``python tests/load/growth.py --help``; `make bench-growth` runs it with the shipped model. The client checks each
chunk when it arrives, and drops it. Every row must arrive once, in order.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from commands import chosen_model, common_parser, facts, markdown, one_line_errors, settings_of
from server_process import Served, running_server
from usage import forget_peak, peak_bytes
from zdc_service.simulation import Output

OUTPUTS = (Output.CHANNELS, Output.HITS)
_CLIENT = Path(__file__).with_name("growth_client.py")


def main() -> None:
    """Print the facts and the table; one line "not run" if CUDA is requested but unavailable."""
    parser = common_parser(__doc__)
    sizes = [10**power for power in range(7)]
    parser.add_argument("--sizes", nargs="+", type=int, default=sizes, help="particles; default: 1 10 ... 1000000")
    parser.add_argument("--protocols", nargs="+", choices=["grpc", "http"], default=["grpc"], help="default: grpc")
    options = parser.parse_args()
    with one_line_errors(parser, options.device):
        settings = settings_of(options)
        model, placement = chosen_model(settings)
        print("\n".join(facts(model, placement)), flush=True)
        print("peak: most resident memory, of the server since the job began, of the client since its start\n")
        with running_server(settings) as server:
            cells = list(rows(server, model.folder, options.protocols, options.sizes))
        head = ["protocol", "output", "particles", "time [s]", "responses/s", "server peak [MiB]", "client peak [MiB]"]
        print("\n".join(markdown([*head, "mean photons"], cells, 2)))


def rows(server: Served, model: Path, protocols: list[str], sizes: list[int]) -> Iterator[list[str]]:
    """Cells of the table, one job after the other."""
    for protocol in protocols:
        url = f"{protocol}://{server.grpc if protocol == 'grpc' else server.http}"
        for output in OUTPUTS:
            for count in sizes:
                print(f"{protocol}, {output}, {count} particles", file=sys.stderr)
                forget_peak(server.pid)
                client = ask(url, output, count, model)
                seconds, server_peak = client["seconds"], peak_bytes(server.pid)
                megabytes = [f"{size / 2**20:.0f}" for size in (server_peak, client["peak"])]
                figures = [f"{seconds:.3f}", f"{count / seconds:.0f}", *megabytes, f"{client['photons'] / count:.1f}"]
                yield [protocol, output, str(count), *figures]


def ask(url: str, output: Output, count: int, model: Path) -> dict[str, float]:
    """The client's measurements of one job; raises RuntimeError if the client fails."""
    command = [sys.executable, str(_CLIENT), url, output, str(count), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the client failed: {done.stderr.strip()}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
