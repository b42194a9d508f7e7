"""Recorded runs of prototypical networks: their steps by hand, judged by loops, remade and kept."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mlcourse.learners import matching, networks, protonet
from mlcourse.learners import protonet_runs as runs
from mlcourse.tasks import Points, load_characters, omniglot
from mlcourse.tasks.episodes import draw_indices

CPU = torch.device("cpu")
SMALL = runs.Recipe(n_way=6, filters=4, embedding=8)


@pytest.fixture(scope="module")
def data():
    return load_characters(runs.BASE.size)


@pytest.fixture(scope="module")
def real(data):
    if not data.real:
        pytest.skip("Omniglot is not here")
    return data


def seeded(n: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(n)


# ---------------------------------------------------------------- recipes and runs


def test_every_answer_differs_from_the_base_in_what_is_asked_alone():
    for question, answers in runs.VARIANTS.items():
        assert list(answers.values()).count(runs.BASE) == 1, question
        fields = [
            {f for f, a, b in zip(recipe._fields, recipe, runs.BASE) if a != b}
            for recipe in answers.values()
        ]
        assert len(set().union(*fields) - {"temperature"}) == 1, question


def test_all_short_runs_embed_as_many_drawings_but_for_one_episode():
    for name, run in runs.runs().items():
        if name not in runs.LONG:
            drawings = run.steps() * run.recipe.images()
            assert abs(drawings - runs.MINUTE // 2) <= run.recipe.images() / 2, name


def test_names_of_runs_are_one_to_one():
    recipes = {r for answers in runs.VARIANTS.values() for r in answers.values()}
    assert len({runs.named(r) for r in recipes}) == len(recipes)
    assert runs.named(runs.BASE) == "base"
    assert runs.named(runs.BASE._replace(n_way=5, n_query=1)) == "n_way=5,n_query=1"


@pytest.mark.parametrize("distance", [*protonet.DISTANCES, "matching"])
def test_the_loss_of_a_recipe_is_the_mean_of_minus_log_p(distance):
    recipe = SMALL._replace(n_way=4, k_shot=2, distance=distance, temperature=0.5)
    labels = torch.arange(4).repeat(2)[None]
    support = Points(torch.randn(1, 8, 8, generator=seeded()), labels)
    query = Points(torch.randn(1, 8, 8, generator=seeded(1)), labels)
    total = 0.0
    for z, y in zip(query.x[0], query.y[0]):
        if distance == "matching":
            votes = [torch.cosine_similarity(z, s, 0) / 0.5 for s in support.x[0]]
            p = torch.stack(votes).softmax(0)[support.y[0] == y].sum()
        else:
            means = torch.stack([support.x[0][support.y[0] == k].mean(0) for k in range(4)])
            far = protonet.DISTANCES[distance](z[None], means)[0]
            p = (-far / 0.5).softmax(0)[y]
        total -= float(p.log()) / 8
    assert float(recipe.loss(support, query)) == pytest.approx(total, abs=1e-5)


# ---------------------------------------------------------------- training


def test_steps_by_hand(data):
    """Three steps: the episodes of `sample`, one batch through the net, Adam with its rate."""
    pool = data.background.subset(torch.arange(20))
    work = runs.Training(SMALL, pool, CPU, seed=3)
    net, generator = SMALL.net(3), seeded(3)
    adam = torch.optim.Adam(net.parameters(), 1.0)
    for i in range(3):
        adam.param_groups[0]["lr"] = 0.01 * networks.one_cycle(i / 3)
        support, query = pool.sample(1, 1, 2, generator, 6)
        z = net(torch.cat([support.x[0], query.x[0]]))
        means = torch.stack([z[:6][support.y[0] == k].mean(0) for k in range(6)])
        scores = torch.stack([-(means - q).square().sum(1) for q in z[6:]])
        loss = torch.nn.functional.cross_entropy(scores, query.y[0])
        adam.zero_grad(), loss.backward(), adam.step()
        assert work.step(i / 3) == pytest.approx(loss.item(), rel=1e-5)
    for (name, a), b in zip(net.named_parameters(), work.net.parameters()):
        if name != "3.1.bias":  # all features moved together: its gradient is next to zero
            assert torch.allclose(a, b, atol=1e-4), name


def test_the_same_seed_is_the_same_run_and_another_is_not(data):
    first, again = (runs.Training(SMALL, data.background, CPU).step(0.0) for _ in range(2))
    assert first == again != runs.Training(SMALL, data.background, CPU, 1).step(0.0)


def test_a_step_that_failed_is_made_again_with_the_same_episode(data):
    straight, broken = (runs.Training(SMALL, data.background, CPU) for _ in range(2))
    for work in (straight, broken):
        work.step(0.0), work.step(0.1)

    def fault(*_):
        raise RuntimeError("CUDA out of memory")

    hook = broken.net.register_forward_pre_hook(fault)
    with pytest.raises(RuntimeError, match="out of memory"):
        broken.step(0.2)
    hook.remove()
    broken.to(CPU)
    assert broken.step(0.2) == straight.step(0.2)
    for a, b in zip(straight.net.state_dict().values(), broken.net.state_dict().values()):
        assert torch.equal(a, b)


def test_another_device_gets_the_optimisers_memory(data):
    work = runs.Training(SMALL, data.background, CPU)
    work.step(0.0)
    work.to(torch.device("meta"))
    kept = [v for s in work.optimizer.state.values() for v in s.values()]
    assert {v.device.type for v in kept if isinstance(v, torch.Tensor)} == {"meta"}
    assert {p.device.type for p in work.net.parameters()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_real_gpu_trains_like_the_cpu(data):
    losses = {}
    for kind in ("cpu", "cuda"):
        work = runs.Training(SMALL, data.background, torch.device(kind))
        losses[kind] = [work.step(i / 5) for i in range(5)]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


# ---------------------------------------------------------------- judging


def test_embedded_is_the_network_in_evaluation_mode(data):
    pool, net = data.evaluation.subset(torch.arange(3)), SMALL.net().train()
    kept = {k: v.clone() for k, v in net.state_dict().items()}
    found = runs.embedded(net, pool)
    assert all(torch.equal(v, kept[k]) for k, v in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        for drawings, features in zip(pool.images, found):
            assert torch.allclose(features, net(drawings[:, None].float() / 255), atol=1e-5)


def test_tasks_are_the_drawings_of_draw_indices():
    features = torch.arange(30.0 * 20).view(30, 20, 1)  # a feature is a drawing's number
    episodes = runs.tasks(features, 4, 2, n_query=3, n_tasks=50, seed=5)
    classes, drawings = draw_indices((30, 20), 50, 5, seeded(5), 4)
    for t in range(50):
        seen = [(episodes.support, 0, 2), (episodes.query, 2, 5)]
        for points, low, high in seen:
            where = (classes[t] * 20 + drawings[t])[:, low:high].flatten()
            assert points.x[t, :, 0].tolist() == where.tolist()
            assert points.y[t].tolist() == [k for k in range(4) for _ in range(high - low)]


def test_a_task_of_lakes_kind_has_one_alphabet_and_two_people(data):
    pool = data.evaluation
    features = torch.arange(len(pool) * 20.0).view(-1, 20, 1)
    support, query = runs.alphabet_tasks(features, pool, n_tasks=3)
    names = pool.alphabet.unique()
    assert len(support.x) == 3 * len(names) and support.x.shape == query.x.shape
    for t, (s, q) in enumerate(zip(support.x[..., 0].long(), query.x[..., 0].long())):
        own = s // 20
        assert torch.equal(own, q // 20) and len(own.unique()) == 20
        assert {int(a) for a in pool.alphabet[own]} == {int(names[t // 3])}
        people = {int(pool.drawer[i // 20, i % 20]) for i in s}
        others = {int(pool.drawer[i // 20, i % 20]) for i in q}
        assert len(people) == len(others) == 1 and people != others
    assert support.y[0].tolist() == query.y[0].tolist() == [*range(20)]


@pytest.mark.parametrize(("distance", "temperature"), [("squared", 1), ("matching", 0.1)])
def test_judged_counts_as_a_loop_does(distance, temperature):
    features = torch.randn(40, 20, 6, generator=seeded()) + 2 * torch.randn(
        40, 1, 6, generator=seeded(1)
    )
    episodes = runs.tasks(features, 5, 3, n_tasks=45)
    found = runs.judged(episodes, 5, distance, temperature)
    for t in range(45):
        s, q = (Points(part.x[t], part.y[t]) for part in episodes)
        if distance == "matching":
            said = matching.log_probabilities(q.x, s.x, s.y, 5, temperature).argmax(1)
        else:
            means = torch.stack([s.x[s.y == k].mean(0) for k in range(5)])
            said = torch.stack([(means - z).norm(dim=1).argmin() for z in q.x])
        assert found[t] == pytest.approx(float((said == q.y).double().mean()))
    assert 0.3 < found.mean() < 1


def test_seeing_drawings_changes_the_norms_and_no_weight(data):
    net = SMALL.net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    runs.see(net, data.background.subset(torch.arange(9)), batches=2)
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert {k.rpartition(".")[2] for k in changed} >= {"running_mean", "running_var"}
    assert not changed & {name for name, _ in net.named_parameters()} and not net.training


# ---------------------------------------------------------------- what was recorded


@pytest.mark.parametrize("name", [*runs.runs(), "pixels", "untrained", "normalised"])
def test_every_run_is_there_and_whole(name):
    found = runs.recorded(name)
    for n, k in runs.CELLS:
        right = found[f"{n}w{k}s"]
        assert right.shape == (1000,)
        assert torch.equal((right * 5 * n).round() / (5 * n), right.double().float())
    assert found["alphabet"].shape == (20 * runs.ALPHABET_TASKS,)
    assert all(((v >= 0) & (v <= 1)).all() for n, v in found.items() if n != "curve")


@pytest.mark.parametrize("name", runs.LONG)
def test_a_curve_ends_where_its_run_does(name):
    found, run = runs.recorded(name), runs.LONG[name]
    curve = found["curve"]
    steps = [round(part * run.steps()) for part in runs.CURVE]
    assert curve[:, 0].tolist() == [i * run.recipe.images() for i in steps]
    assert (curve[1:, 1] > curve[:-1, 1]).all()
    assert float(curve[-1, 2]) == pytest.approx(float(found["5w1s"].mean()), abs=1e-4)


@pytest.mark.parametrize("name", runs.SHIPPED)
def test_what_is_shipped_is_as_good_as_recorded(name, real):
    """Another machine rounds differently: a query on the border may fall to the other side."""
    run = runs.runs()[runs.SHIPPED[name]]
    pool = load_characters(run.recipe.size).evaluation
    features, found = runs.embedded(runs.shipped(name), pool), runs.recorded(runs.SHIPPED[name])
    anew = runs.judgement(features, pool)
    for cell, right in anew.items():
        assert (right - found[cell]).abs().mean() < 0.002, cell


def test_baselines_made_anew(real):
    pixels = real.evaluation.images.flatten(2).float() / 255
    untrained = runs.embedded(runs.BASE.net(), real.evaluation)
    for name, features in {"pixels": pixels, "untrained": untrained}.items():
        anew, found = runs.judged(runs.tasks(features, 5, 1), 5), runs.recorded(name)["5w1s"]
        assert (anew - found).abs().mean() < 0.005, name


def test_a_recorded_run_remade_up_to_its_second_look(real):
    """What it had learned by then, within the luck of rounding."""
    run = runs.LONG["two minutes"]
    work = runs.Training(run.recipe, real.background.rotated(), CPU, run.seed)
    steps = round(runs.CURVE[1] * run.steps())
    for i in range(steps):
        work.step(i / run.steps())
    right = runs.judged(runs.tasks(runs.embedded(work.net, real.evaluation), 5, 1), 5)
    recorded = runs.recorded("two minutes")["curve"][1]
    assert recorded[0] == steps * run.recipe.images()
    assert float(right.mean()) == pytest.approx(float(recorded[2]), abs=0.02)


def test_what_is_shipped_is_frozen_and_nothing_else_is_shipped():
    net = runs.shipped()
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    assert runs.shipped() is net
    with pytest.raises(KeyError):
        runs.shipped("nobody")
    with pytest.raises(KeyError):
        runs.recorded("nobody")


def test_recorded_numbers_are_plain_arrays():
    from mlcourse import paths

    with np.load(paths.asset("runs_protonet.npz"), allow_pickle=False) as file:
        names = {n.rpartition("/")[0] for n in file.files}
    assert names == {*runs.runs(), "pixels", "untrained", "normalised"}


# ---------------------------------------------------------------- the published one-shot tasks


def published(path, side=105):
    """An archive in the layout of the published one, its pictures noise; and what it holds."""
    draw, tasks = np.random.default_rng(3), []
    with zipfile.ZipFile(path, "w") as zipped:
        for run in range(1, 21):
            ink, order = draw.random((2, 20, side, side)) < 0.1, draw.permutation(20)
            lines = []
            for i in range(20):
                pair = f"test/item{i + 1:02}", f"training/class{order[i] + 1:02}"
                names = [f"run{run:02}/{name}.png" for name in pair]
                lines.append(" ".join(names))
                for name, page in zip(names, (ink[1, i], ink[0, order[i]])):
                    file = io.BytesIO()
                    Image.fromarray(~page).save(file, "PNG")
                    zipped.writestr(name, file.getvalue())
            zipped.writestr(f"run{run:02}/class_labels.txt", "\n".join(lines) + "\n")
            tasks.append((ink, order))
    return tasks


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder in which the course looks for archives, Omniglot's two in it by name."""
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(tmp_path))
    for archive in omniglot.ARCHIVES:
        (tmp_path / archive.file).touch()
    return tmp_path


def test_the_published_tasks_are_read_as_they_are_listed(beside):
    tasks = published(beside / "all_runs.zip")
    support, query = omniglot.lake_runs(21)
    assert support.x.shape == query.x.shape == (20, 20, 1, 21, 21)
    for (ink, order), sx, sy, qx, qy in zip(tasks, *support, *query):
        assert sy.tolist() == list(range(20)) and qy.tolist() == order.tolist()
        for seen, pages in ((sx, ink[0]), (qx, ink[1])):
            cells = pages.reshape(20, 21, 5, 21, 5).mean((2, 4))
            assert np.abs(seen[:, 0].numpy() - cells).max() < 1 / 255


def test_without_the_archive_there_are_no_published_tasks(beside):
    assert omniglot.lake_runs() is None


@pytest.mark.parametrize("spoil", ["no zip", "small pictures"])
def test_a_spoilt_archive_is_told(beside, spoil):
    if spoil == "no zip":
        (beside / "all_runs.zip").write_bytes(b"nothing")
    else:
        published(beside / "all_runs.zip", side=28)
    with pytest.raises(
        omniglot.OmniglotError, match="all_runs.zip cannot be used .*file there"
    ):
        omniglot.lake_runs()


def test_pictures_are_judged_as_their_embeddings_are(beside):
    published(beside / "all_runs.zip")
    episodes, net = omniglot.lake_runs(20), runs.shipped("base")
    found = runs.judged_pictures(net, episodes, 20)
    with torch.no_grad():
        for right, sx, sy, qx, qy in zip(found, *episodes.support, *episodes.query):
            nearest = torch.cdist(net(qx), net(sx)).argmin(1)
            assert float(right) == pytest.approx(float((sy[nearest] == qy).double().mean()))
