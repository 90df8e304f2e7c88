"""The command ``zensaibo`` of the wheel: the same code as the binary."""

import signal
import sys
from collections.abc import Sequence
from typing import Any


def _terminated(*_: Any) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    from ._core import cli_main

    # As Ctrl-C does, a polite end (of a batch system, say) stops the run and leaves no half-written file.
    signal.signal(signal.SIGTERM, _terminated)
    return cli_main(["zensaibo", *(sys.argv[1:] if argv is None else argv)])
