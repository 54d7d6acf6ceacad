"""LIME, and occlusion, of records and series through the wire, on the committed models."""

import json

import grpc
import numpy as np
import pytest

from candor.runtime.manifest import load_manifest
from packaged import records, waves
from serving import REPOSITORY
from wire.protocol import infer_request, text

RECORDS = records().inputs
VOWELS = waves(12, 9, 20, 20).inputs[:2]
BEATS = waves(1, 2, 96, 96).inputs[:2]


def explain(oip, model, name, rows, method="lime", **options):
    """Values, segments if any, and the trust records."""
    parameters = {
        "candor.explain": method,
        "candor.cache": "bypass",
        **{f"candor.{method}.{option}": value for option, value in options.items()},
    }
    outputs, response = oip.infer(infer_request(model, parameters=parameters, **{name: rows}))
    trust = json.loads(response.parameters[f"candor.{method}.trust"].string_param)
    return outputs[f"candor.{method}"], outputs.get(f"candor.{method}.segments"), trust


def test_records_are_drawn_from_the_training_data_and_conditions_come_back(oip):
    values, segments, trust = explain(oip, "adult-mlp", "record", RECORDS, n_samples=600)
    assert values.shape == segments.shape == RECORDS.shape
    features = load_manifest(REPOSITORY / "adult-mlp").input.features
    for row, record in enumerate(trust):
        assert record["features"] == list(features)
        assert record["options"]["baseline"] == "training"
        np.testing.assert_allclose(record["figures"]["coefficients"], values[row], rtol=1e-6)
    conditions = trust[1]["figures"]["conditions"]
    assert conditions[0] == "age > 47.00"
    assert conditions[1] == "workclass=Self-emp-inc"
    assert conditions[9] == "sex=Female"
    assert trust[3]["warnings"][-1] == "unseen: the training data never had country -1"
    gain = features.index("capital gain")
    assert int(np.abs(values[1]).argmax()) == gain, "15,024 dollars of gain decide"
    assert trust[1]["figures"]["out_of_sample_r2"] > 0.4


def test_what_answers_asked_again_word_for_word_is_the_same(oip):
    first, _, trust = explain(oip, "adult-mlp", "record", RECORDS[:1], n_samples=100)
    again, _, _ = explain(oip, "adult-mlp", "record", RECORDS[:1], **trust[0]["options"])
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("baseline", ["mean", "zero", -1.5])
def test_features_of_a_record_can_also_be_replaced(oip, baseline):
    values, _, trust = explain(oip, "adult-mlp", "record", RECORDS[:1], baseline=baseline)
    assert trust[0]["options"]["baseline"] == baseline
    assert "conditions" not in trust[0]["figures"]
    assert np.abs(values).max() > 0


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "smooth_grad", "occlusion"])
def test_feature_names_come_back_with_every_method(oip, method):
    values, _, trust = explain(oip, "adult-mlp", "record", RECORDS[:1], method)
    assert values.shape == (1, len(trust[0]["features"])) == (1, 14)
    if method == "occlusion":
        assert trust[0]["options"]["window"] == "1"


@pytest.mark.parametrize(("n_segments", "length"), [(10, 2), (6, 4), (50, 1)])
def test_a_series_is_cut_into_equal_slices(oip, n_segments, length):
    values, segments, trust = explain(
        oip, "vowels-gru", "series", VOWELS, n_samples=200, n_segments=n_segments
    )
    assert values.shape == segments.shape == (2, 20)
    np.testing.assert_array_equal(segments, np.tile(np.arange(20) // length, (2, 1)))
    assert trust[0]["figures"]["segmentation"] == "slices"
    assert trust[0]["options"]["baseline"] == "total_mean"
    assert np.abs(values).max() > 0


@pytest.mark.parametrize("model", ["vowels-lstm", "vowels-esn"])
def test_the_channels_of_a_series_are_removed_together_or_apart(oip, model):
    together, _, _ = explain(oip, model, "series", VOWELS, n_samples=100, n_segments=5)
    apart, segments, trust = explain(
        oip, model, "series", VOWELS, n_samples=300, n_segments=5, channels="keep"
    )
    assert together.shape == (2, 20)
    assert apart.shape == segments.shape == (2, 20, 12)
    assert trust[0]["figures"]["n_segments"] == 60
    np.testing.assert_array_equal(segments[0, :, 3], 15 + np.arange(20) // 4)
    assert len(trust[0]["features"]) == 12


@pytest.mark.parametrize("baseline", ["mean", "total_mean", "zero", "noise", "blur", 0.5])
def test_every_replacement_of_a_slice(oip, baseline):
    values, segments, trust = explain(
        oip, "ecg200-fcn", "series", BEATS, n_samples=100, n_segments=12, baseline=baseline
    )
    assert values.shape == (2, 96)
    assert segments.max() == 11
    assert trust[0]["options"]["baseline"] == baseline
    assert np.abs(values).max() > 0


def test_a_series_is_cut_where_it_changes(oip):
    _, segments, trust = explain(
        oip, "ecg200-fcn", "series", BEATS, n_samples=100, n_segments=9, segments="change_points"
    )
    lengths = np.bincount(segments[0])
    assert len(lengths) == 9
    assert len(set(lengths.tolist())) > 1
    assert trust[0]["figures"]["segmentation"] == "change_points"


def test_occlusion_of_a_series_is_a_window_in_time(oip):
    values, _, trust = explain(
        oip, "ecg200-fcn", "series", BEATS, "occlusion", window=16, stride=16
    )
    assert values.shape == (2, 96)
    for row in values:
        assert len(set(row.reshape(6, 16).T.ravel().tolist())) <= 6
        assert (np.ptp(row.reshape(6, 16), axis=1) == 0).all()
    assert trust[0]["figures"]["n_windows"] == 6
    default, _, trust = explain(oip, "vowels-rnn", "series", VOWELS, "occlusion")
    assert default.shape == (2, 20)
    assert trust[0]["options"]["window"] == "2"


@pytest.mark.parametrize("fill", ["unknown", "padding"])
def test_words_are_replaced_by_the_unknown_word_or_padding_at_their_true_length(oip, fill):
    sentences = text("A wonderful, warm film.", "Dull.")
    values, segments, trust = explain(
        oip, "sentences", "tokens", sentences, n_samples=100, baseline=fill
    )
    assert [record["options"]["baseline"] for record in trust] == [fill] * 2
    assert [record["figures"]["n_segments"] for record in trust] == [6, 2]
    assert (values[1, 2:] == 0).all()
    assert (segments[1, 2:] == -1).all()


def test_channels_apart_of_what_has_none_in_time_are_refused(oip):
    with pytest.raises(grpc.RpcError) as refusal:
        explain(oip, "adult-mlp", "record", RECORDS, channels="keep")
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "this is tabular, expected 'sum'" in refusal.value.details()
