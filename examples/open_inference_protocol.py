"""Explain with somebody else's client: tritonclient, over the Open Inference Protocol."""

import json

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

client = InferenceServerClient("127.0.0.1:8001")
image = InferInput("image", [2, 3, 64, 64], "FP32")
image.set_data_from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32))
answer = client.infer("photos", [image], parameters={"candor.explain": "grad_cam,gradient"})
response = answer.get_response()
for output in response.outputs:
    print(output.name, list(output.shape))
trust = json.loads(response.parameters["candor.grad_cam.trust"].string_param)
print(
    "layer", trust[0]["options"]["layer"], response.parameters["candor.cache_status"].string_param
)
client.close()
