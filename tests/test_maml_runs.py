"""The recorded runs on characters: judged anew they are what was recorded."""

import pytest
import torch

from mlcourse.learners import maml_runs
from mlcourse.tasks import load_characters

SOME = 40  # tasks judged anew


@pytest.fixture(scope="module")
def evaluation():
    data = load_characters(maml_runs.SIZE)
    if not data.real:
        pytest.skip("Omniglot is not here")
    return data.evaluation


@pytest.mark.parametrize("name", ["MAML/0", "Meta-SGD/0", "BOIL/0", "long/0"])
def test_what_is_shipped_is_as_good_as_recorded(name, evaluation):
    learner, recorded = maml_runs.shipped(name), maml_runs.recorded(name)
    for kind, n_query, how in (
        ("five", 5, {"steps": 1}),
        ("one", 1, {"steps": 1}),
        ("alone", 1, {"steps": 1, "alone": True}),
    ):
        whole = maml_runs.episodes(evaluation, n_query)
        some = type(whole)(*(type(part)(*(v[:SOME] for v in part)) for part in whole))
        anew = maml_runs.judged(learner, some, **how)
        before = recorded[kind][1] if kind == "five" else recorded[kind]
        # another machine rounds differently: a query on the border may fall to the other side
        assert (anew - before[:SOME]).abs().mean() < 0.01, kind


@pytest.mark.parametrize("name", maml_runs.RUNS)
def test_every_run_is_there_and_whole(name):
    recorded = maml_runs.recorded(name)
    assert recorded["five"].shape[0] == len(maml_runs.STEPS)
    tasks = recorded["five"].shape[1]
    assert tasks >= 600 and recorded["one"].shape == recorded["alone"].shape == (tasks,)
    assert all(((v >= 0) & (v <= 1)).all() for k, v in recorded.items() if k != "curve")


@pytest.mark.parametrize("name", maml_runs.SHIPPED)
def test_what_is_shipped_is_whole(name):
    learner = maml_runs.shipped(name)
    assert learner.params.keys() == maml_runs.begin(maml_runs.RUNS[name].method).params.keys()
    assert all(p.isfinite().all() for p in learner.params.values())


def test_the_curve_belongs_to_the_long_run():
    curve = maml_runs.recorded("long/0")["curve"]
    assert curve[:, 0].tolist() == list(maml_runs.CURVE)
    assert (curve[1:, 1] > curve[:-1, 1]).all()
    long, tasks = maml_runs.recorded("long/0")["five"][1], 300
    assert curve[-1, 2] == pytest.approx(float(long[:tasks].mean()), abs=0.02)


def test_fixed_labels_are_the_same_in_every_episode(evaluation):
    generator = torch.Generator().manual_seed(0)
    pool = evaluation.subset(torch.arange(10))
    episodes = maml_runs.fixed_labels(pool, 50, 2, generator)
    looks = {}
    for x, y in zip(pool.images.flatten(0, 1), torch.arange(10).repeat_interleave(20)):
        looks[x.numpy().tobytes()] = int(y) % maml_runs.N_WAY
    for part in episodes:
        xs, ys = part.x.mul(255).round().byte().flatten(0, 1), part.y.flatten()
        assert [looks[x.numpy().tobytes()] for x in xs] == ys.tolist()
    assert episodes.query.x.shape == (50, 10, 1, 20, 20)


def test_another_name_is_not_shipped():
    with pytest.raises(KeyError):
        maml_runs.shipped("nobody/0")
