"""All methods on the same episodes: what each has learned, how it answers, what was found."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import affine_grid, grid_sample, normalize, one_hot

from .. import paths
from ..evaluation import accuracy
from ..tasks import CharacterData, Characters, Episode, Points
from ..tasks.omniglot import generated
from . import maml, maml_runs, networks, protonet_runs, transfer
from .closed_form import ridge_map
from .maml_runs import Learner, Method

Predict = Callable[[Points, Tensor], Tensor]  # support sets, queries' x -> labels, a row a task

DRAWINGS = 120_000  # that a method has embedded before it meets a new alphabet
TASKS, QUERIES, SIZE = 400, 5, maml_runs.SIZE
COSTLY = ("from scratch", "fine-tuning")  # seconds a task: judged on the first eighth of them
SHOTS = (1, 2, 3, 5, 7, 10)
FEW_SHOTS = (1, 5)  # with 20 ways, and under a shift
STEPS = 3  # of adaptation, as Finn et al. (2017) take at test
TUNING, SCRATCH = (3e-3, 20), (3e-3, 80)  # α and steps of Adam, chosen on validation alphabets
PENALTY = 0.1  # of the probe, chosen there too


def judge(predict: Predict, episodes: Episode) -> Tensor:
    """The accuracy of a method on each task, float64 (tasks,): it is shown no label of a query."""
    return accuracy(predict(episodes.support, episodes.query.x), episodes.query.y)


# ---------------------------------------------------------------- how each of them answers


def ways(support: Points) -> int:
    """The classes of some tasks; labels are 0…n_way-1."""
    return int(support.y.max()) + 1


def chance(support: Points, x: Tensor) -> Tensor:
    """Labels drawn at random, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(ways(support), x.shape[:2], generator=generator)


def pixels(support: Points, x: Tensor) -> Tensor:
    """The label of the nearest support picture, by the Euclidean distance of pixels."""
    return support.y.gather(1, torch.cdist(x.flatten(2), support.x.flatten(2)).argmin(-1))


def tuned(body: nn.Sequential | None, rate: float, steps: int) -> Predict:
    """A new head and all blocks, trained on each task by Adam; no body: from random weights."""

    def predict(support: Points, x: Tensor) -> Tensor:
        found = []
        for number, task in enumerate(zip(*support, x)):
            few, generator = Points(*task[:2]), torch.Generator().manual_seed(number)
            begun = body or protonet_runs.BASE.net(number)
            depth = len(begun) - 1
            nets = transfer.fine_tuning(begun, few, ways(few), depth, rate, generator)
            _, net = next(transfer.at_checkpoints(nets, (steps,)))
            with torch.no_grad():
                found.append(net(task[2]).argmax(-1))
        return torch.stack(found)

    return predict


def probe(body: nn.Module, penalty: float = PENALTY) -> Predict:
    """A linear map solved on frozen features of length one."""

    def predict(support: Points, x: Tensor) -> Tensor:
        few, new = (normalize(networks.features(body, part), dim=-1) for part in (support.x, x))
        return (new @ ridge_map(few, one_hot(support.y).float(), penalty)).argmax(-1)

    return predict


def adapting(learner: Learner, steps: int = STEPS) -> Predict:
    """Gradient steps on the support set. Batch norm takes its statistics from the support set, so
    that what is said of a query does not depend on the other queries."""
    net, params, inner_lr, start = learner
    loss = networks.task_loss(net)

    def one(x: Tensor, y: Tensor, new: Tensor) -> Tensor:
        support = Points(x, y)
        first = start(params, support) if start else params
        adapted = maml.adapt(loss, first, support, inner_lr, steps, first_order=True)
        with networks.normalised_by(net, len(x)):
            return functional_call(net, adapted, (torch.cat([x, new]),))[len(x) :].argmax(-1)

    def predict(support: Points, x: Tensor) -> Tensor:
        with torch.no_grad():
            return vmap(one, chunk_size=20)(*support, x)

    return predict


def embedding(net: nn.Module, distance: str = "squared", temperature: float = 1.0) -> Predict:
    """A comparison in the space of features: ProtoNet's, or "matching"."""

    def predict(support: Points, x: Tensor) -> Tensor:
        few = Points(networks.features(net, support.x), support.y)
        new = networks.features(net, x)
        return protonet_runs.answers(few, new, ways(support), distance, temperature).argmax(-1)

    return predict


# ---------------------------------------------------------------- what each of them is trained by

MATCHING = protonet_runs.VARIANTS["distance"]["matching / 0.1"]
GRADIENT = {  # learned by an inner loop; the head has as many ways as the tasks
    "MAML": maml_runs.METHODS["MAML"],
    "FOMAML": maml_runs.METHODS["first order"],
    "Reptile": Method(walk=5, inner_lr=0.1),
    "ANIL": maml_runs.METHODS["ANIL"],
    "ProtoMAML": maml_runs.METHODS["ProtoMAML"],
}
METRIC = {"Matching": MATCHING, "ProtoNet": protonet_runs.BASE}
PRETRAINED = ("nearest mean", "probe", "fine-tuning")
UNTRAINED = ("chance", "pixels", "from scratch")
METHODS = (*UNTRAINED, *PRETRAINED, *GRADIENT, *METRIC)


def gradient_run(name: str, pool: Characters, seed: int, n_way: int = 5, times: int = 1):
    """The run that teaches one of GRADIENT, to be stepped, its learner, and its steps."""
    steps = times * DRAWINGS // (maml_runs.META_BATCH * n_way * (1 + maml_runs.QUERIES))
    run, learner = maml_runs.training(GRADIENT[name], pool, seed, n_way=n_way)
    return run, learner, steps


def metric_run(name: str, pool: Characters, seed: int):
    """The run that teaches one of METRIC, and its steps."""
    run = protonet_runs.Training(METRIC[name], pool, torch.device("cpu"), seed)
    return run, round(DRAWINGS / METRIC[name].images())


def pretraining(pool: Characters, seed: int):
    """The classifier whose body is probed and tuned, and the steps of its training."""
    body = protonet_runs.BASE.net(seed)
    run = transfer.Pretraining(body, pool, torch.device("cpu"), seed)
    return run, DRAWINGS // run.batch


def predictor(name: str, learned) -> Predict:
    """The method of this name: `learned` is the network, or what MAML's relatives have learned."""
    if name in GRADIENT:
        return adapting(learned)
    if name in METRIC:
        return embedding(learned, METRIC[name].distance, METRIC[name].temperature)
    others = {
        "chance": chance,
        "pixels": pixels,
        "from scratch": tuned(None, *SCRATCH),
        "nearest mean": embedding(learned),
        "probe": probe(learned),
        "fine-tuning": tuned(learned, *TUNING),
    }
    return others[name]


# ---------------------------------------------------------------- what they are judged on

SHIFTS = (
    "new alphabets",
    "one alphabet",
    "known alphabets",
    "turned by 45°",
    "inverted",
    "generated",
)


def turned(x: Tensor, degrees: float) -> Tensor:
    """Pictures (tasks, points, 1, h, w) turned counter-clockwise about their middle."""
    angle = torch.tensor(degrees).deg2rad()
    sin, cos = angle.sin(), angle.cos()
    turn = torch.stack([cos, -sin, torch.zeros(()), sin, cos, torch.zeros(())]).view(1, 2, 3)
    flat = x.flatten(0, 1)
    grid = affine_grid(turn.expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    return grid_sample(flat, grid, align_corners=False).view_as(x)


def episodes(
    data: CharacterData, shift: str = "new alphabets", n_way: int = 5, n_tasks: int | None = None
) -> Episode:
    """TASKS tasks, or the first `n_tasks` of them, with the most shots that are judged;
    `Episode.with_shots` makes fewer of the same drawings.

    "turned" and "inverted" are the very drawings of "new alphabets". Raises KeyError for another
    shift.
    """
    generator = torch.Generator().manual_seed(10 + n_way)
    shots = max(SHOTS if n_way == 5 else FEW_SHOTS)
    if shift == "one alphabet":
        rounds = -(-TASKS // len(data.evaluation.alphabet.unique()))
        each = [
            data.evaluation.sample_alphabets(shots, QUERIES, generator, n_way)
            for _ in range(rounds)
        ]
        tasks = Episode(*(Points(*map(torch.cat, zip(*sets))) for sets in zip(*each)))
        return tasks.first(n_tasks or TASKS)
    pool = {"known alphabets": data.background, "generated": generated(SIZE).evaluation}.get(
        shift, data.evaluation
    )
    drawn = pool.sample(TASKS, shots, QUERIES, generator, n_way).first(n_tasks or TASKS)
    change = {"turned by 45°": lambda x: turned(x, 45.0), "inverted": lambda x: 1 - x}.get(
        shift, lambda x: x
    )
    return Episode(*(Points(change(x), y) for x, y in drawn))


def accuracies(predict: Predict, tasks: Episode, shots: tuple[int, ...] = SHOTS) -> Tensor:
    """The accuracy on each task with so many shots, float64 (shots, tasks)."""
    return torch.stack([judge(predict, tasks.with_shots(k)) for k in shots])


# ---------------------------------------------------------------- what is on file

CURVE = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # parts of a training after which it is judged
NETS = ("pretrained", "Matching", "ProtoNet")
TRAININGS = [  # source, seed and ways of everything that is recorded
    *((name, 0, 5) for name in UNTRAINED),
    *((name, 0, 5) for name in (*NETS, *GRADIENT)),
    *((name, 1, 5) for name in (*NETS, *GRADIENT) if name != "Reptile"),  # which takes longest
    *((name, 0, 20) for name in GRADIENT),
]
ELSEWHERE = {  # what chapters 06 and 08 ship of seed 0 is not trained anew
    ("MAML", 5): lambda: maml_runs.shipped("MAML/0"),
    ("FOMAML", 5): lambda: maml_runs.shipped("first order/0"),
    ("ANIL", 5): lambda: maml_runs.shipped("ANIL/0"),
    ("ProtoMAML", 5): lambda: maml_runs.shipped("ProtoMAML/0"),
    ("ProtoNet", 5): lambda: protonet_runs.shipped("base"),
}


def settings(seed: int) -> list[tuple[int, str]]:
    """Ways and shifts at which a training of this seed is judged; the second only at home."""
    home = [(5, SHIFTS[0])]
    return home if seed else home + [(20, SHIFTS[0])] + [(5, shift) for shift in SHIFTS[1:]]


def shots_of(n_way: int, shift: str) -> tuple[int, ...]:
    """The K that are judged."""
    return SHOTS if (n_way, shift) == (5, SHIFTS[0]) else FEW_SHOTS


def tasks_of(name: str, n_way: int, shift: str) -> int:
    """The tasks that a method is judged on: half as many away from home."""
    tasks = TASKS // 8 if name in COSTLY else TASKS
    return tasks if (n_way, shift) == (5, SHIFTS[0]) else tasks // 2


def source_of(name: str) -> str:
    """What is trained for a method: a network may serve several."""
    return "pretrained" if name in PRETRAINED else name


@cache
def recorded(n_way: int = 5, shift: str = SHIFTS[0]) -> dict[str, Tensor]:
    """Parts right by method, float32 (trainings, shots, tasks); the tasks of COSTLY ones are the
    first of the others'."""
    found = {}
    with np.load(paths.asset("runs_head_to_head.npz"), allow_pickle=False) as file:
        for name in METHODS:
            keys = [f"{n_way}/{shift}/{name}/{seed}" for seed in (0, 1)]
            rights = [torch.from_numpy(file[key]) for key in keys if key in file.files]
            found[name] = torch.stack(rights).float() / (n_way * QUERIES)
    return found


@cache
def curve(source: str, n_way: int = 5, seed: int = 0) -> Tensor:
    """How a training went, float32 (CURVE, 3): steps, seconds and 1-shot accuracy. What
    ELSEWHERE names has one of seed 1 only, Reptile one of seed 0 only."""
    with np.load(paths.asset("runs_head_to_head.npz"), allow_pickle=False) as file:
        return torch.from_numpy(file[f"curve/{source}/{n_way}/{seed}"])


def arrays(source: str, learned: nn.Module | Learner, n_way: int) -> dict[str, np.ndarray]:
    """What a training has learned as plain arrays."""
    if source in NETS:
        return {f"{source}/{n}": v.numpy() for n, v in learned.state_dict().items()}
    return maml_runs.arrays(f"{source}/{n_way}", learned)


@cache
def shipped(source: str, n_way: int = 5) -> nn.Module | Learner:
    """What seed 0 has learned: a network for one of NETS, a learner for one of GRADIENT."""
    key = (source, 5 if source in NETS else n_way)
    if key in ELSEWHERE:
        return ELSEWHERE[key]()
    place = paths.asset("head_to_head.npz")
    if source in GRADIENT:
        return maml_runs.load(place, f"{source}/{n_way}", GRADIENT[source], n_way)
    net = protonet_runs.BASE.net()
    with np.load(place, allow_pickle=False) as file:
        net.load_state_dict({n: torch.from_numpy(file[f"{source}/{n}"]) for n in net.state_dict()})
    return net.eval().requires_grad_(False)


def method(name: str, n_way: int = 5) -> Predict:
    """One of METHODS as it is shipped; KeyError for another name."""
    return predictor(name, None if name in UNTRAINED else shipped(source_of(name), n_way))
