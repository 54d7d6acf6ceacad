"""LIME of the served census model is the package's, on the data that the model was trained on."""

import json

import numpy as np
import onnxruntime as ort
import pytest

from agreement.references import LimeTabularExplainer
from serving import REPOSITORY
from wire.protocol import Protocol, infer_request
from zoo.data import data_root
from zoo.sets.adult import CATEGORIES, COLUMNS, load_adult

pytestmark = pytest.mark.data


def test_coefficients_are_the_packages_with_the_training_data_at_hand(server):
    train, test = (load_adult(data_root(), split).inputs for split in ("train", "test"))
    categorical = [COLUMNS.index(name) for name in CATEGORIES]
    run = ort.InferenceSession(str(REPOSITORY / "adult-mlp" / "1" / "model.onnx"))

    def probabilities(rows):
        logits = run.run(None, {"record": rows.astype(np.float32)})[0].astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    oip = Protocol(server.grpc_target)
    for row, seed in zip(test[[5, 40, 77]], (0, 7, 11), strict=True):
        parameters = {
            "candor.explain": "lime",
            "candor.target": 1,
            "candor.seed": seed,
            "candor.lime.n_samples": 800,
        }
        request = infer_request("adult-mlp", parameters=parameters, record=row[None])
        _, response = oip.infer(request)
        trust = json.loads(response.parameters["candor.lime.trust"].string_param)[0]
        explanation = LimeTabularExplainer(
            train.astype(np.float64),
            feature_names=COLUMNS,
            categorical_features=categorical,
            categorical_names={COLUMNS.index(name): of for name, of in CATEGORIES.items()},
            random_state=seed,
            feature_selection="none",
        ).explain_instance(row.astype(np.float64), probabilities, num_features=14, num_samples=800)
        wanted = [value for _, value in sorted(explanation.local_exp[1])]
        # probabilities come out of two sessions in float32: what remains is their rounding
        np.testing.assert_allclose(trust["figures"]["coefficients"], wanted, rtol=0, atol=1e-6)
        assert set(trust["figures"]["conditions"]) == {name for name, _ in explanation.as_list()}
    oip.close()
