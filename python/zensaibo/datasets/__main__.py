"""``python -m zensaibo.datasets simulate --cells 100000 --out x.h5ad``."""

import argparse
import inspect
import sys

from ..errors import ZensaiboError
from . import simulate


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status (0 done, 2 bad usage or options, 3 cannot write)."""
    parser = argparse.ArgumentParser(prog="python -m zensaibo.datasets", description="Make data sets.")
    command = parser.add_subparsers(dest="command", required=True).add_parser(
        "simulate", help="counts with known truth, streamed to an h5ad file"
    )
    names = {"n_obs": "--cells", "n_vars": "--genes"}
    for name, parameter in inspect.signature(simulate).parameters.items():
        if name in ("out", "threads", "progress"):
            continue
        flag = names.get(name, f"--{name.replace('_', '-')}")
        command.add_argument(
            flag, dest=name, type=type(parameter.default), default=parameter.default, help=f"default: {parameter.default}"
        )
    command.add_argument("--out", required=True, help="the h5ad file to write")
    command.add_argument("--threads", type=int, default=None, help="default: all cores")
    command.add_argument("--quiet", action="store_true", help="no progress")
    options = vars(parser.parse_args(arguments))
    options.pop("command")
    quiet = options.pop("quiet")
    try:
        simulate(**options, progress=False if quiet else None)
    except (ValueError, ZensaiboError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write {options['out']}: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
