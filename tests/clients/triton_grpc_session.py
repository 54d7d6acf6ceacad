"""What a user of tritonclient.grpc does beside inference; prints one JSON object."""

import json
import queue
import sys
from functools import partial
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from triton_calls import X, common, image


def main(target: str) -> None:
    """Ask everything once."""
    client = triton.InferenceServerClient(target)
    metadata = client.get_model_metadata("photos", as_json=True)
    config = client.get_model_config("photos", as_json=True)["config"]
    index = client.get_model_repository_index(as_json=True)["models"]
    report: dict[str, Any] = {
        "server": client.get_server_metadata(as_json=True),
        "outputs": [output["name"] for output in metadata["outputs"]],
        "dims": config["input"][0]["dims"],
        "index": [[model["name"], model["version"], model["state"]] for model in index],
        "async_infer": asynchronous(client),
        "stream": streamed(client),
        "compressed": client.infer(
            "photos", [image(triton)], compression_algorithm="gzip"
        ).as_numpy("logits").tolist(),
    }  # fmt: skip
    statistics = client.get_inference_statistics("photos", as_json=True)["model_stats"][0]
    report["statistics"] = statistics
    report |= common(triton, client)
    json.dump(report, sys.stdout)


def asynchronous(client: Any) -> list[Any]:
    """Three requests at once, with a deadline that holds and one that does not."""
    answers: queue.Queue[Any] = queue.Queue()
    keep = partial(_keep, answers)
    for _ in range(3):
        client.async_infer("photos", [image(triton)], keep, client_timeout=120)
    found = [answers.get(timeout=120) for _ in range(3)]
    slow = {"candor.explain": "lime", "candor.lime.n_samples": 100_000, "candor.cache": "bypass"}
    client.async_infer("photos", [image(triton)], keep, client_timeout=0.3, parameters=slow)
    _, error = answers.get(timeout=120)
    same = all(
        # up to rounding: those that wait at the same time may share a run
        np.allclose(found[0][0].as_numpy("logits"), r.as_numpy("logits"), rtol=1e-4, atol=1e-5)
        for r, _ in found
    )
    return [same, error.message()]


def streamed(client: Any) -> list[Any]:
    """A prediction, a failure and an explanation on one stream."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(partial(_keep, answers))
    client.async_stream_infer("photos", [image(triton)], request_id="plain")
    wrong = triton.InferInput("image", [1, 2], "FP32")
    wrong.set_data_from_numpy(X[0, 0, :1, :2].copy())
    client.async_stream_infer("photos", [wrong], request_id="wrong")
    client.async_stream_infer(
        "photos", [image(triton)], request_id="slow", enable_empty_final_response=True,
        parameters={"candor.explain": "lime", "candor.lime.segments": "grid",
                    "candor.lime.n_samples": 200, "candor.cache": "bypass"},
    )  # fmt: skip
    found: list[Any] = []
    ends = 0
    while ends < 3:
        result, error = answers.get(timeout=120)
        if error is not None:
            found.append(["error", error.message()])
            ends += 1
            continue
        response = result.get_response()
        parameters = response.parameters
        ends += parameters["triton_final_response"].bool_param
        progress = parameters["candor.progress"].double_param
        final = parameters["candor.final"].bool_param
        names = [output.name for output in response.outputs]
        found.append([response.id, progress, final, names])
    client.stop_stream()
    return found


def _keep(answers: "queue.Queue[Any]", result: Any, error: Any) -> None:
    answers.put((result, error))


if __name__ == "__main__":
    main(sys.argv[1])
