"""Commands with the signals of a terminal, also where the tests run in the background or under nohup."""

import sys


def foreground(module: str) -> list[str]:
    """Command that calls ``main()`` of a module, such as ``zdc_service.cli``; Ctrl-C and SIGHUP are not ignored."""
    program = (
        f"import signal, {module} as cli; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); cli.main()"
    )
    return [sys.executable, "-c", program]
