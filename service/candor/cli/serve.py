"""Start the service: gRPC, HTTP and metrics, until SIGTERM or Ctrl-C.

Every flag can be given as an environment variable instead: --grpc-address is CANDOR_GRPC_ADDRESS.
On SIGTERM the service says that it is not serving any more, finishes what is in flight, and exits
with code 0.
"""

import argparse

from candor.app import serve
from candor.settings import SETTINGS, load_settings

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
  candor serve
  candor serve --model-root /models --grpc-address 0.0.0.0:8001
  CANDOR_REDIS_URL=redis://127.0.0.1:6379 candor serve --explain-budget-ms 2000
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting."""
    for row in SETTINGS:
        default = f"{row.default} {row.unit}".strip() or "empty"
        parser.add_argument(
            row.flag,
            dest=row.name,
            metavar=(row.unit or "VALUE").upper(),
            # A setting that is off may be turned on by its flag alone.
            nargs="?" if row.default == "false" else None,
            const="true" if row.default == "false" else None,
            help=f"{row.help} (default: {default})".replace("%", "%%"),
        )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    flags = {row.name: getattr(args, row.name) for row in SETTINGS}
    settings = load_settings({name: text for name, text in flags.items() if text is not None})
    return serve(settings)
