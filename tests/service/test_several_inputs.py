"""Models of several inputs: a map of each, through a real server, against captum with a tuple."""

import copy
import json
import queue
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import tritonclient.grpc as triton
from sklearn.linear_model import Ridge
from torch import nn
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from agreement.references import IntegratedGradients, Occlusion
from candor.cli import main
from candor.client import Client
from candor.result import Array, Json
from cli.running import candor
from service.several_networks import (
    CLASSES,
    Gated,
    Listing,
    Masked,
    Review,
    Rows,
    Sensors,
    Warmed,
    listings,
    pairs,
    reviews,
    save,
    sensors,
)
from serving import Server, running
from tolerance import assert_gradients_agree

SEED = secrets.randbelow(2**31)
RNG = np.random.default_rng(SEED)


@dataclass(frozen=True)
class House:
    """The networks, in torch and served."""

    nets: dict[str, nn.Module]
    server: Server
    client: Client
    triton: triton.InferenceServerClient
    root: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    print(f"seed {SEED}")  # noqa: T201
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    nets = {
        "listing": Listing(),
        "sensors": Sensors(),
        "review": Review(),
        "masked": Masked(),
        "gated": Gated(),
        "warmed": Warmed(),
    }
    facts = np.ones((2, 5), np.float32)
    warm = Rows({"facts": facts, "warmth": np.ones(1, np.float32)})
    examples = {**{name: rows_of(name, 2) for name in nets if name != "warmed"}, "warmed": warm}
    for name, net in nets.items():
        save(net.eval(), examples[name], root, name)
    with (
        running(tmp_path_factory.mktemp("log"), root) as server,
        Client(server.grpc_target) as client,
        triton.InferenceServerClient(server.grpc_target) as outsider,
    ):
        exact = {name: copy.deepcopy(net).double() for name, net in nets.items()}
        yield House(exact, server, client, outsider, root)


def rows_of(name: str, n: int) -> Rows:
    if name == "listing":
        return listings(RNG, n)
    if name == "sensors":
        return sensors(RNG, n)
    if name == "gated":
        return pairs(RNG, n)
    return reviews(RNG, n, facts=name == "review")


def asked(
    house: House, name: str, rows: Rows, outputs: tuple[str, ...] = (), **parameters: Json
) -> triton.InferResult:
    """Ask as an outsider does; `__` stands for a dot in the names of parameters."""
    return house.triton.infer(
        name,
        tensors_of(rows),
        outputs=[triton.InferRequestedOutput(output) for output in outputs] or None,
        parameters={f"candor.{key.replace('__', '.')}": v for key, v in parameters.items()},
    )


def tensors_of(rows: Rows) -> list[triton.InferInput]:
    tensors = []
    for each, array in rows.by_name.items():
        tensors.append(triton.InferInput(each, array.shape, np_to_triton_dtype(array.dtype)))
        tensors[-1].set_data_from_numpy(array)
    return tensors


def trust_of(found: triton.InferResult, name: str) -> list[dict[str, Json]]:
    parameter = found.get_response().parameters[f"candor.{name}.trust"]
    records: list[dict[str, Json]] = json.loads(parameter.string_param)
    return records


def behind_embeddings(
    house: House, name: str, rows: Rows
) -> tuple[tuple[torch.Tensor, ...], Callable[..., torch.Tensor], tuple[torch.Tensor, ...] | None]:
    """The values that gradients are taken to, a function of them to logits, and baselines."""
    net, points = house.nets[name], rows.torch
    if name == "sensors":
        return points, net.logits, None
    if name == "listing":
        return points, net, None
    ids, is_word, facts = points
    vectors, absent = net.table(ids).detach(), net.table(torch.zeros_like(ids)).detach()

    def forward(vectors: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        times = len(vectors) // len(is_word)
        return net.embedded(vectors, is_word.repeat(times, 1), facts)

    return (vectors, facts), forward, (absent, torch.zeros_like(facts))


def slopes(house: House, name: str, rows: Rows, target: int) -> list[Array]:
    """Autograd in float64, of the logit; of ids at the embedding."""
    points, forward, _ = behind_embeddings(house, name, rows)
    leaves = [point.requires_grad_() for point in points]
    score = forward(*leaves)[:, target].sum()
    return [slope.numpy() for slope in torch.autograd.grad(score, leaves)]


NAMES = {"listing": ["picture", "facts"], "sensors": ["fast", "slow"], "review": ["ids", "facts"]}


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_all_inputs_are_autograds(house: House, name: str) -> None:
    rows = rows_of(name, 8)
    found = asked(
        house, name, rows, explain="gradient", target=2,
        gradient__reduction="signed", gradient__channels="keep",
    )  # fmt: skip
    for own, wanted in zip(NAMES[name], slopes(house, name, rows, 2), strict=True):
        exact = wanted
        values = found.as_numpy(f"candor.gradient.{own}")
        if own == "ids":  # padding is exactly 0 in a map
            exact = wanted * (rows.by_name["ids"] != 0)[:, :, None]
            assert (values[rows.by_name["ids"] == 0] == 0).all()
        assert_gradients_agree(values, exact, SEED)
        records = trust_of(found, f"gradient.{own}")
        assert [record["input"] for record in records] == [own] * 8
        assert [record["n_evaluations"] for record in records] == [1] * 8


def test_maps_are_aligned_with_their_inputs(house: House) -> None:
    rows = rows_of("listing", 3)
    methods = ("gradient", "integrated_gradients", "smooth_grad", "occlusion", "lime")
    found = asked(house, "listing", rows, explain=",".join(methods), lime__n_samples=50)
    ours = {output.name for output in found.get_response().outputs} - {"scores"}
    segments = {f"candor.lime.{own}.segments" for own in NAMES["listing"]}
    assert ours - segments == {f"candor.{m}.{own}" for m in methods for own in NAMES["listing"]}
    for method in methods:
        assert found.as_numpy(f"candor.{method}.picture").shape == (3, 20, 24)
        assert found.as_numpy(f"candor.{method}.facts").shape == (3, 5)


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_are_captums_of_a_tuple(house: House, name: str) -> None:
    rows = rows_of(name, 2)
    found = asked(
        house, name, rows, explain="integrated_gradients", target=1,
        integrated_gradients__channels="keep", integrated_gradients__n_steps=20,
    )  # fmt: skip
    points, forward, before = behind_embeddings(house, name, rows)
    wanted = IntegratedGradients(forward).attribute(points, before, target=1, n_steps=20)
    total = np.zeros(2)
    for own, exact in zip(NAMES[name], wanted, strict=True):
        values = found.as_numpy(f"candor.integrated_gradients.{own}")
        assert_gradients_agree(values, exact.numpy(), SEED)
        total += values.reshape(2, -1).sum(1)
    for own in NAMES[name]:  # all inputs together make up the change
        for row, record in enumerate(trust_of(found, f"integrated_gradients.{own}")):
            figures = record["figures"]
            gap = abs(total[row] - figures["change"])
            assert gap == pytest.approx(figures["completeness_gap"], abs=1e-4)


def test_smooth_grad_is_the_mean_over_noise_of_each_inputs_range(house: House) -> None:
    rows = rows_of("sensors", 1)
    found = asked(
        house, "sensors", rows, explain="smooth_grad", target=0, smooth_grad__n_samples=12,
        smooth_grad__seed=5, smooth_grad__reduction="signed", smooth_grad__channels="keep",
    )  # fmt: skip
    sizes = [array[0].size for array in rows.by_name.values()]
    drawn = np.random.default_rng(5).standard_normal((12, sum(sizes)))
    noisy = {}
    for (own, array), noise in zip(
        rows.by_name.items(), np.split(drawn, [sizes[0]], axis=1), strict=True
    ):
        scaled = noise.reshape(12, *array.shape[1:]) * 0.15 * np.ptp(array)
        noisy[own] = (array + scaled).astype(np.float32)
    wanted = [slope.mean(0) for slope in slopes(house, "sensors", Rows(noisy), 0)]
    for own, exact in zip(NAMES["sensors"], wanted, strict=True):
        assert_gradients_agree(found.as_numpy(f"candor.smooth_grad.{own}"), exact[None], SEED)


@pytest.mark.parametrize("name", ["listing", "sensors"])
def test_occlusion_is_captums_of_a_tuple(house: House, name: str) -> None:
    rows = rows_of(name, 2)
    found = asked(house, name, rows, explain="occlusion", target=3)
    net = house.nets[name]
    forward = net.logits if name == "sensors" else net
    windows = {"listing": ((3, 2, 3), (1,)), "sensors": ((5, 3), (2, 2))}[name]
    strides = {"listing": ((3, 1, 1), (1,)), "sensors": ((2, 3), (1, 2))}[name]
    wanted = Occlusion(forward).attribute(
        rows.torch, sliding_window_shapes=windows, strides=strides, target=3
    )
    channels = {"picture": 1, "fast": 2, "slow": 2}
    for own, exact in zip(NAMES[name], wanted, strict=True):
        one = exact.numpy().take(0, axis=channels[own]) if own in channels else exact.numpy()
        values = found.as_numpy(f"candor.occlusion.{own}")
        # Differences of two scores of about 1, each rounded to float32.
        np.testing.assert_allclose(values, one, rtol=1e-5, atol=1e-6)
        for record in trust_of(found, f"occlusion.{own}"):  # the options as they repeat the call
            assert record["options"] == {"channels": "sum"}
    settled = [trust_of(found, f"occlusion.{own}")[0]["figures"]["window"] for own in NAMES[name]]
    assert settled == {"listing": ["2,3", "1"], "sensors": ["5", "2"]}[name]


def grad_cam_of(activation: torch.Tensor, score: torch.Tensor, size: tuple[int, ...]) -> Array:
    """As large as the input: the layer's channels by their mean slopes, what is above zero."""
    (slope,) = torch.autograd.grad(score.sum(), activation)
    axes = tuple(range(2, activation.ndim))
    raw = (slope.mean(axes, keepdim=True) * activation).sum(1, keepdim=True).relu()
    flat = raw if raw.ndim == 4 else raw[:, :, None]
    wide = size if raw.ndim == 4 else (1, *size)
    found = torch.nn.functional.interpolate(flat, wide, mode="bilinear", align_corners=False)
    return found.detach().numpy().reshape(len(raw), *size)


def test_a_layers_map_is_of_the_input_whose_places_it_has(house: House) -> None:
    for name, own in (("listing", "picture"), ("gated", "scene")):
        rows = rows_of(name, 3)
        found = asked(
            house, name, rows, explain="grad_cam,hires_cam", target=1, grad_cam__normalise=False
        )
        ours = {output.name for output in found.get_response().outputs} - {"scores"}
        assert ours == {f"candor.grad_cam.{own}", f"candor.hires_cam.{own}"}
        net = house.nets[name]
        if name == "listing":
            picture, facts = rows.torch
            last = torch.tanh(net.two(torch.tanh(net.one(picture))))
            both = torch.cat([last.mean((2, 3)), torch.tanh(net.facts(facts))], 1)
            score = net.head(both * 3)[:, 1]
        else:
            last = net.mixed(*rows.torch)
            score = net.head(last.mean((2, 3)))[:, 1]
        wanted = grad_cam_of(last, score, rows.by_name[own].shape[2:])
        assert_gradients_agree(found.as_numpy(f"candor.grad_cam.{own}"), wanted, SEED)
        assert [one["input"] for one in trust_of(found, f"grad_cam.{own}")] == [own] * 3


def test_each_branch_is_mapped_by_its_own_layers(house: House) -> None:
    model, rows = house.client.model("sensors"), rows_of("sensors", 2)
    of_layers = {}
    for layer in model.layers:
        found = asked(house, "sensors", rows, explain="layer_cam", layer=layer)
        names = {output.name for output in found.get_response().outputs} - {"scores"}
        (of_layers[layer],) = (name.removeprefix("candor.layer_cam.") for name in names)
    assert set(of_layers.values()) == {"fast", "slow"}
    net, (fast, slow) = house.nets["sensors"], rows.torch
    first = {own: layer for layer, own in reversed(of_layers.items())}
    for own, layer in first.items():
        found = asked(
            house, "sensors", rows, explain="grad_cam", layer=layer, target=0,
            grad_cam__normalise=False,
        )  # fmt: skip
        slow_conv, fast_conv = net.slow(slow.transpose(1, 2)), net.fast(fast.transpose(1, 2))
        a, b = torch.tanh(fast_conv), torch.tanh(slow_conv)
        score = 4 * net.head(torch.cat([(a * a).mean(2), b.mean(2) * a.mean(2)], 1))[:, 0]
        last = {"fast": fast_conv, "slow": slow_conv}[own]
        wanted = grad_cam_of(last, score, rows.by_name[own].shape[1:2])
        assert_gradients_agree(found.as_numpy(f"candor.grad_cam.{own}"), wanted, SEED)


@pytest.mark.parametrize("name", ["listing", "review"])
def test_lime_fits_one_model_to_segments_of_all_inputs(house: House, name: str) -> None:
    rows = rows_of(name, 1)
    found = asked(
        house, name, rows, explain="lime", target=2, lime__n_samples=300, lime__seed=3,
        lime__segments="grid" if name == "listing" else "auto", lime__n_segments=9,
    )  # fmt: skip
    segments = {own: found.as_numpy(f"candor.lime.{own}.segments")[0] for own in NAMES[name]}
    records = [trust_of(found, f"lime.{own}")[0] for own in NAMES[name]]
    n = records[0]["figures"]["n_segments"]
    numbers = np.concatenate([one.ravel() for one in segments.values()])
    assert set(numbers[numbers >= 0]) == set(range(n))  # numbered on from one input to the next
    masks = np.random.RandomState(3).randint(0, 2, 300 * n).reshape(300, n)
    masks[0] = 1
    batch = {own: np.repeat(array, 300, axis=0) for own, array in rows.by_name.items()}
    for own, of_own in segments.items():
        kept = masks[:, np.maximum(of_own, 0)] == 1
        x = batch[own]
        if own == "picture":
            means = np.stack([x[0][:, of_own == each].mean(1) for each in range(of_own.max() + 1)])
            batch[own] = np.where(kept[:, None], x, means[of_own].transpose(2, 0, 1)).astype("f4")
        else:  # a missing number, and a missing word
            batch[own] = np.where(kept | (of_own < 0), x, 0).astype(x.dtype)
    with torch.no_grad():
        said = house.nets[name](*Rows(batch).torch).softmax(1)[:, 2].numpy()
    distance = 1 - np.sqrt(masks.mean(1))
    weights = np.sqrt(np.exp(-((distance / 0.25) ** 2)))
    fitted = Ridge(alpha=1).fit(masks, said, sample_weight=weights)
    scale = np.abs(fitted.coef_).max()
    for own, record in zip(NAMES[name], records, strict=True):
        found_here = np.array(record["figures"]["coefficients"])
        np.testing.assert_allclose(found_here, fitted.coef_, atol=1e-4 * scale)
        wanted = np.append(fitted.coef_, 0.0)[segments[own]]
        values = found.as_numpy(f"candor.lime.{own}")[0]
        np.testing.assert_allclose(values, wanted, atol=1e-4 * scale)
    absent = {"picture": "mean", "ids": "padding", "facts": "zero"}
    assert records[0]["figures"]["baselines"] == {own: absent[own] for own in NAMES[name]}


def test_what_is_named_comes_back_alone(house: House) -> None:
    rows = rows_of("listing", 1)
    found = asked(house, "listing", rows, outputs=("candor.gradient.facts", "scores"))
    names = [output.name for output in found.get_response().outputs]
    assert names == ["candor.gradient.facts", "scores"]
    whole = asked(house, "listing", rows, explain="gradient", cache="bypass")
    np.testing.assert_array_equal(
        found.as_numpy("candor.gradient.facts"), whole.as_numpy("candor.gradient.facts")
    )


@pytest.mark.parametrize(
    ("outputs", "parameters", "said"),
    [
        (("candor.gradient",), {}, "candor.gradient.picture, candor.gradient.facts"),
        (("candor.gradient.price",), {}, "unknown method 'gradient.price'"),
        ((), {"explain": "lime", "lime__baseline": "training"}, "segments are removed: use 'auto'"),
        (
            (),
            {"explain": "lime", "lime__baseline": "blur"},
            "input 'facts': lime.baseline is 'blur'",
        ),
        ((), {"explain": "lime", "lime__segments": "change_points"}, "cuts none of the inputs"),
        ((), {"explain": "lime", "lime__channels": "keep"}, "which models with one input have"),
        ((), {"explain": "cam"}, "does not support cam: cam needs global average pooling"),
        (("candor.grad_cam.facts",), {}, "there is no output 'candor.grad_cam.facts'"),
        ((), {"explain": "gradient", "trust": "full"}, "trust=full is for models with one input"),
        ((), {"explain": "occlusion", "occlusion__window": "9"}, "input 'facts': occlusion.window"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    house: House, outputs: tuple[str, ...], parameters: dict[str, Json], said: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        asked(house, "listing", rows_of("listing", 1), outputs, **parameters)
    assert said in str(refused.value)
    assert "INTERNAL" not in refused.value.status()


def test_every_input_is_in_the_key(house: House) -> None:
    rows = rows_of("review", 2)

    def status(changed: Rows) -> str:
        found = asked(house, "review", changed, explain="gradient,occlusion,lime")
        return str(found.get_response().parameters["candor.cache_status"].string_param)

    assert [status(rows), status(rows)] == ["miss", "hit"]
    for name, array in rows.by_name.items():
        other = array.copy()
        other[0, 0] = 1 - other[0, 0] if name == "is_word" else other[0, 0] % 20 + 1
        assert status(Rows({**rows.by_name, name: other})) == "partial"


def test_one_input_that_is_explained_keeps_its_plain_names(house: House) -> None:
    rows = rows_of("masked", 2)
    methods = "gradient,occlusion,integrated_gradients,lime"
    found = asked(house, "masked", rows, explain=methods, target=1)
    for own in ("gradient", "integrated_gradients", "lime", "lime.segments"):
        assert found.as_numpy(f"candor.{own}").shape == (2, 9)
    ids, is_word = rows.torch
    exact = house.nets["masked"](ids, is_word.double())[:, 1]
    lost = []
    for at in range(9):
        other = ids.clone()
        other[:, at] = 0
        lost.append((exact - house.nets["masked"](other, is_word.double())[:, 1]).detach().numpy())
    wanted = np.stack(lost, axis=1) * (ids.numpy() != 0)
    np.testing.assert_allclose(found.as_numpy("candor.occlusion"), wanted, rtol=1e-5, atol=1e-5)
    record = trust_of(found, "occlusion")[0]
    assert "input" not in record
    assert record["options"]["window"] == "1"


def test_an_input_without_rows_is_why_a_model_is_not_explained(house: House) -> None:
    methods = house.client.model("warmed").methods
    assert all("input 'warmth' has no axis for the rows" in str(why) for why in methods.values())
    rows = Rows({"facts": np.ones((3, 5), np.float32), "warmth": np.full(1, 2, np.float32)})
    assert asked(house, "warmed", rows).as_numpy("scores").shape == (3, CLASSES)
    with pytest.raises(InferenceServerException, match="no axis for the rows"):
        asked(house, "warmed", rows, explain="gradient")


def test_the_typed_service_names_inputs(house: House) -> None:
    model = house.client.model("listing")
    assert (model.kind, model.explained_inputs) == ("several", ("picture", "facts"))
    supported = {method for method, why in model.methods.items() if why is None}
    assert set(model.methods) - supported == {"cam"}
    rows = rows_of("listing", 2)
    found = house.client.explain(
        "listing", ["gradient", "occlusion"], tensors=rows.by_name, targets=[[0, 1], [2, 3]]
    )
    places = [(a.method, a.input_name, a.row, a.position) for a in found.answers]
    assert places == [
        (method, own, row, position)
        for method in ("gradient", "occlusion")
        for own in ("picture", "facts")
        for row in (0, 1)
        for position in (0, 1)
    ]
    assert found.of("occlusion", 1, 1, "facts").values.shape == (5,)
    assert found.of("occlusion", 1, 1).values.shape == (20, 24)


def test_progress_and_budget_have_a_map_of_each_input(house: House) -> None:
    rows, seen = rows_of("listing", 1), []
    house.client.explain(
        "listing", [{"occlusion": {"window": (1,), "stride": (1,)}}], tensors=rows.by_name,
        on_progress=seen.append, cache="bypass",
    )  # fmt: skip
    partial = [one for one in seen if one.partial is not None][-1]
    assert [partial.partial.input_name, *(one.input_name for one in partial.further)] == [
        "picture", "facts",
    ]  # fmt: skip


def test_a_budget_gives_a_coarse_map_of_each_input(house: House) -> None:
    rows = Rows(rows_of("listing", 1).by_name | {"picture": np.ones((1, 3, 90, 90), np.float32)})
    found = asked(
        house, "listing", rows, explain="occlusion", budget_ms=1, cache="bypass",
        occlusion__window="1", occlusion__stride="1",
    )  # fmt: skip
    assert found.get_response().parameters["candor.complete"].bool_param is False
    for own, shape in (("picture", (1, 90, 90)), ("facts", (1, 5))):
        assert found.as_numpy(f"candor.occlusion.{own}").shape == shape
        assert [one["complete"] for one in trust_of(found, f"occlusion.{own}")] == [False]


def test_answers_that_are_given_again_have_every_map(house: House) -> None:
    rows = rows_of("sensors", 2)
    first, *others = (asked(house, "sensors", rows, explain="gradient,lime") for _ in range(3))
    for own in ("gradient.fast", "gradient.slow", "lime.fast", "lime.slow.segments"):
        for other in others:
            wanted = first.as_numpy(f"candor.{own}")
            np.testing.assert_array_equal(other.as_numpy(f"candor.{own}"), wanted)


def test_a_stream_has_partial_maps_of_each_input(house: House) -> None:
    rows = Rows(rows_of("listing", 1).by_name | {"picture": np.ones((1, 3, 64, 64), np.float32)})
    got: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
    house.triton.start_stream(lambda result, error: got.put((result, error)))
    parameters = {"candor.explain": "occlusion", "candor.cache": "bypass"}
    house.triton.async_stream_infer(
        "listing", tensors_of(rows),
        parameters=parameters | {"candor.occlusion.window": "1", "candor.occlusion.stride": "1"},
    )  # fmt: skip
    shapes = {"candor.occlusion.picture": (1, 64, 64), "candor.occlusion.facts": (1, 5)}
    n_partial, final = 0, False
    while not final:
        result, error = got.get(timeout=60)
        assert error is None
        final = result.get_response().parameters["candor.final"].bool_param
        names = {output.name for output in result.get_response().outputs} - {"scores"}
        assert names in ({*shapes}, set())
        n_partial += bool(names) and not final
        assert all(result.as_numpy(name).shape == shapes[name] for name in names)
    house.triton.stop_stream()
    assert n_partial > 0
    assert names == {*shapes}


def test_rows_that_are_not_explained_have_no_map_of_any_input(house: House) -> None:
    found = asked(
        house, "listing", rows_of("listing", 3), explain="gradient", explain_if="top_probability<0"
    )
    for own in NAMES["listing"]:
        assert np.isnan(found.as_numpy(f"candor.gradient.{own}")).all()
        assert all("not_explained" in record for record in trust_of(found, f"gradient.{own}"))


def test_an_estimate_counts_all_inputs(house: House) -> None:
    rows = rows_of("listing", 1)
    cost = house.client.estimate("listing", ["occlusion"], tensors=rows.by_name)
    found = house.client.explain("listing", ["occlusion"], tensors=rows.by_name, cache="bypass")
    runs = sum(int(answer.trust["n_evaluations"]) for answer in found.answers)
    assert cost.model_calls == runs + 1  # and the prediction
    assert cost.bytes == 4 * (20 * 24 + 5)


def test_maps_of_series_and_records_are_drawn(house: House) -> None:
    rows = rows_of("sensors", 1)
    found = house.client.explain("sensors", ["occlusion"], tensors=rows.by_name, render=True)
    drawn = [answer.drawing for answer in found.answers]
    assert all(one is not None and one.content.startswith(b"\x89PNG") for one in drawn)
    mixed = house.client.explain(
        "listing", ["gradient"], tensors=rows_of("listing", 1).by_name, render="svg"
    )
    assert mixed.of("gradient", input_name="picture").drawing is None  # there is nothing to see
    bars = mixed.of("gradient", input_name="facts").drawing
    assert bars is not None
    assert b"gradient (facts)" in bars.content


def test_the_command_line_names_inputs(house: House, tmp_path: Path) -> None:
    rows = rows_of("listing", 2)
    for name, array in rows.by_name.items():
        np.save(tmp_path / name, array)
    given = [f"--input={name}={tmp_path / name}.npy" for name in rows.by_name]
    asking = [
        "--model=listing",
        "--methods=gradient,occlusion",
        f"--server={house.server.grpc_target}",
    ]
    told = candor("explain", *given, *asking, f"--out={tmp_path / 'out'}")
    assert "occlusion.picture" in told.stdout
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"row-1.json", "row-2.json", "row-2.gradient.facts.png"} <= files
    answers = json.loads((tmp_path / "out" / "row-1.json").read_text())["answers"]
    assert [answer["input"] for answer in answers] == ["picture", "facts"] * 2


def test_bulk_has_columns_for_each_input(house: House, tmp_path: Path) -> None:
    rows = rows_of("listing", 3).by_name
    lines = [{name: array[row].tolist() for name, array in rows.items()} for row in range(3)]
    table = tmp_path / "rows.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    asking = ["--model=listing", "--methods=gradient", f"--server={house.server.grpc_target}"]
    assert main(["bulk", str(table), *asking, f"--out={tmp_path / 'out'}"]) == 0
    found = pq.read_table(tmp_path / "out" / "part-000000.parquet").to_pylist()
    exact = asked(house, "listing", Rows(rows), explain="gradient")
    for row, record in enumerate(found):
        assert record["error"] is None
        for own in NAMES["listing"]:
            wanted = exact.as_numpy(f"candor.gradient.{own}")[row]
            assert record[f"gradient.{own}_shape"] == list(wanted.shape)
            np.testing.assert_allclose(record[f"gradient.{own}"], wanted.ravel(), rtol=1e-5)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("inspect", "--measure"), "--measure draws rows for models with one input; this one has"),
        (("verify",), "candor verify checks models with one input; this one has picture, facts"),
        (("sanity",), "candor sanity tests models with one input; this one has picture, facts"),
    ],
)
def test_commands_that_want_one_input_say_so(
    house: House, command: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], str(house.root / "listing" / "1"), *command[1:]]) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
