"""What a user of tritonclient does behind TLS; a process of its own, prints one JSON object."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

OUTPUT = "logits"


def main(grpc_target: str, http_target: str, ca: str, key: str, cert: str, model: str) -> None:
    """Ask the same over both."""
    x = np.random.default_rng(3).normal(size=(1, 1, 28, 28)).astype(np.float32)
    over_grpc = triton_grpc.InferenceServerClient(
        grpc_target, ssl=True, root_certificates=ca, private_key=key, certificate_chain=cert
    )
    over_http = triton_http.InferenceServerClient(
        http_target,
        ssl=True,
        ssl_options={"ca_certs": ca, "keyfile": key, "certfile": cert},
    )
    report = {}
    for name, client, module in (
        ("grpc", over_grpc, triton_grpc),
        ("http", over_http, triton_http),
    ):
        assert client.is_server_ready()
        tensor = module.InferInput("image", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        answer = client.infer(model, [tensor])
        report[name] = answer.as_numpy(OUTPUT).ravel().tolist()
        client.close()
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
