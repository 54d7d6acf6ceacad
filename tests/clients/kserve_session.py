"""What a user of KServe's clients does, over REST and gRPC; prints one JSON object."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

X = np.random.default_rng(7).normal(size=(2, 3, 64, 64)).astype(np.float32)


def request(**parameters: Any) -> Any:
    """The rows, as raw bytes."""
    tensor = InferInput("image", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, binary_data=True)
    return InferRequest("photos", [tensor], request_id="k-1", parameters=parameters or None)


def array(answer: Any, name: str) -> list[Any]:
    """One output of an answer."""
    found: list[Any] = answer.get_output_by_name(name).as_numpy().tolist()
    return found


async def over_grpc(target: str) -> dict[str, Any]:
    """Everything that the gRPC client has, and load by its own messages."""
    client = InferenceGRPCClient(target)
    explained = await client.infer(request(**{"candor.explain": "gradient", "candor.target": 3}))
    report = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model_ready": await client.is_model_ready("photos"),
        "logits": array(await client.infer(request()), "logits"),
        "gradient": list(np.shape(array(explained, "candor.gradient"))),
    }
    stub = client._client_stub
    gone = await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="photos"))
    back = await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="photos"))
    report["loaded"] = [gone.model_name, gone.isUnloaded, back.model_name, back.isLoaded]
    await client.close()
    return report


async def over_rest(url: str) -> dict[str, Any]:
    """Both of the protocols that the REST client speaks."""
    second = InferenceRESTClient(RESTConfig(protocol="v2"))
    first = InferenceRESTClient(RESTConfig(protocol="v1"))
    rows = {"instances": X.tolist()}
    explained = await first.explain(url, "photos", rows)
    return {
        "live": await second.is_server_live(url),
        "ready": await second.is_server_ready(url),
        "model_ready": [
            await second.is_model_ready(url, "photos"), await first.is_model_ready(url, "photos"),
        ],
        "logits": array(await second.infer(url, request(), model_name="photos"), "logits"),
        "predictions": (await first.infer(url, rows, model_name="photos"))["predictions"],
        "explained": [list(row) for row in explained["explanations"]],
    }  # fmt: skip


async def main(target: str, url: str) -> None:
    """Ask everything once."""
    report = {"grpc": await over_grpc(target), "rest": await over_rest(url)}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
