"""`python -m benchmarks.serving`: the service under load, on one core, its callers on the other."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from benchmarks.interleave import machine, markdown
from benchmarks.serving import cached, incidents, load, peers, soak, throughput
from benchmarks.serving.processes import here
from benchmarks.serving.rows import Row

_MEASUREMENTS: Mapping[str, Callable[[float], Iterator[Row]]] = MappingProxyType(
    {
        "large": throughput.large,
        "small": throughput.small,
        "memory": cached.from_memory,
        "redis": cached.from_redis,
        "beside": load.beside_lime,
        "overload": load.overload,
        "redis-lost": load.redis_lost,
        "stopped": load.stopped,
        "broken-model": incidents.broken_model,
        "slow-clients": incidents.slow_clients,
        "log-full": incidents.log_full,
        "soak": soak.soak,
        "peers": peers.small,
        "peers-large": peers.large,
    }
)


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    parser.add_argument(
        "which", nargs="*", metavar="WHICH", help=f"{', '.join(_MEASUREMENTS)} (all)"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="one turn (4)")
    args = parser.parse_args()
    odd = [name for name in args.which if name not in _MEASUREMENTS]
    if odd:
        parser.error(f"there is no '{odd[0]}'; there are {', '.join(_MEASUREMENTS)}")
    here()
    rows = []
    for name in args.which or _MEASUREMENTS:
        for row in _MEASUREMENTS[name](args.seconds):
            print(*row, sep=" | ", flush=True)
            rows.append(row)
    print(markdown(("what", "candor", "beside", "compared", "bar"), rows))
    print(machine("onnxruntime", "grpcio"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
