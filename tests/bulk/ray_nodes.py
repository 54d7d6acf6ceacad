"""A Ray cluster of two nodes on this machine, for as long as standard input is open.

Says its address and the process of each node. Where Ray is: see `make test-ray`.
"""

import json
import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 128 * 2**20}


def main() -> None:
    head = NODE | {"include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.head_node, cluster.add_node(**NODE)]
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        sys.stdout.write(json.dumps({"address": cluster.address, "nodes": raylets}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
