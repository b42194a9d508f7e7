"""What was published, where, under which protocol, and which job of `ledger_jobs.py` has ours."""

from typing import NamedTuple


class Paper(NamedTuple):
    """Where a number was published, and the protocol it was found with."""

    source: str
    where: str
    protocol: str = ""


class Group(NamedTuple):
    """Cells of one method under one protocol.

    unit: "MSE" or "%". cells: the published value and half-width of each, either may be None.
    differences: of ours to the protocol. job: what finds ours, "" when there is none yet; `why`
    there is none. recorded: the shipped file that ours stands on, and what makes it. none: what
    stands for a value that is None. readme: whether the top README has it too.
    """

    id: str
    method: str
    unit: str
    cells: dict[str, tuple[float | None, float | None]]
    paper: Paper
    differences: str
    job: str = ""
    why: str = "its training is not among the recordings yet"
    recorded: tuple[str, str] | None = None
    none: str = "not published"
    readme: bool = True


def sines(*values: float | None, shots: int = 5) -> dict:
    """Errors after one, five and ten steps on so many points."""
    return {f"K{shots}/{k}": (v, None) for k, v in zip((1, 5, 10), values or (None,) * 3)}


CELLS = ("5w1s", "5w5s", "20w1s", "20w5s")


def ways(*values: float | tuple[float, float], of=CELLS) -> dict:
    """Accuracies of the four usual cells, or of others, some with a half-width."""
    return {cell: v if isinstance(v, tuple) else (v, None) for cell, v in zip(of, values)}


FIVE, TWENTY = CELLS[:2], CELLS[2:]
FINN = "Finn, Abbeel and Levine 2017, arXiv 1703.03400"
SNELL = "Snell, Swersky and Zemel 2017, arXiv 1703.05175"
NICHOL = "Nichol, Achiam and Schulman 2018, arXiv 1803.02999"
RAGHU = "Raghu and others 2020, arXiv 1909.09157"
SINES = (
    "A in [0.1, 5], φ in [0, π], x in [-5, 5]; 1-40-40-1 with ReLU, α = 0.01, one step and ten "
    "points in training, 70 000 steps of 25 tasks with Adam at 0.001; 600 tasks at test"
)
MIXED = "1200 characters mixed over all alphabets to train on, the rest to test on, in rotations"
CHARACTERS = (
    f"{MIXED}; 28 × 28, 64 filters, strides; α = 0.4 on the sum of the losses, three steps at "
    "test (20-way: 0.1, five); 60 000 steps of 32 (16) tasks; batch norm sees all queries at once"
)
EPISODES = (
    f"{MIXED}; 28 × 28, 64 filters; 60-way episodes with five queries a class, the shots of the "
    "test, Adam from 0.001, halved every 2000 episodes; 1000 tasks of 15 queries a class"
)
WALKS = (
    "rotations in training only; 5-way 100 000 steps of five tasks, five inner steps of Adam; "
    "20-way 200 000 steps, ten inner steps; 10 000 tasks of one query a class"
)
SINE_TABLE = Paper(FINN, "table 2", SINES)
MAML_TABLE, PROTO_TABLE = Paper(FINN, "table 1", CHARACTERS), Paper(SNELL, "table 1", EPISODES)
FIRST_ORDER = Paper(
    f"as reported in {NICHOL}",
    "table of Omniglot, first-order MAML with transduction",
    "MAML's network and tasks, without second derivatives",
)
OF_THREE = "tables of Omniglot; ± is the standard deviation of three trainings"

OUR_SPLIT = "the 30 background alphabets to train on, the 20 evaluation alphabets to test on"
OUR_MAML = f"{OUR_SPLIT}; 20 × 20, 32 filters, pooling; 1000 steps of 4 tasks at a peak β of 0.01"
OUR_SHOTS = "trained on one shot, also for five; 600 tasks of one query a class, seen together"
OUR_TWENTY = (
    f"{OUR_SPLIT}; 20 × 20, 32 filters, pooling; 250 steps of 4 tasks with one shot and five "
    "queries a class, a peak β of 0.01; α = 0.4 on the mean, three steps at test; 150 tasks of one "
    "query a class, seen together"
)
OUR_WALK = (
    f"{OUR_SPLIT}; 20 × 20, 32 filters, pooling; 1000 steps (20-way: 250) of 4 tasks, five inner "
    "steps of α = 0.1 on six drawings a class, a peak β of 0.01 by Adam; three steps at test"
)
OUR_PROTO = (
    f"{OUR_SPLIT}; 667 episodes of 20 × 20, 32 filters, two queries a class; 1000 tasks of five "
    "queries a class"
)
OUR_SINES = "steps, β climbs to 0.01 and falls to zero, five support and ten query points"
MAML_CELLS = ((98.7, 0.4), (99.9, 0.1), (95.8, 0.3), (98.9, 0.2))
PROTO_CELLS = (98.8, 99.7, 96.0, 98.9)
MAML_FILE = "mlcourse/assets/runs_maml.npz", "python tools/assets.py maml_characters"
PROTO_FILE = "mlcourse/assets/runs_protonet.npz", "python tools/assets.py protonets"
CONTEST_FILE = "mlcourse/assets/runs_head_to_head.npz", "python tools/assets.py contest"
NEEDS_GPU = {"why": "it takes hours on a processor and runs where there is a GPU", "readme": False}

GROUPS = [
    Group(
        *("maml-sine-paper", "MAML on sines, as the paper trains", "MSE"),
        sines(0.67, 0.38, 0.35) | sines(shots=10) | sines(shots=20),
        Paper(FINN, "table 2 (five points); figures 3 and 6 (ten and twenty)", SINES),
        "PyTorch's initial weights in place of a narrow normal; 1000 tasks of 100 points at test",
        "sine_paper",
        none="figure only",
    ),
    Group(
        *("maml-sine", "MAML on sines, the course's recipe", "MSE"),
        sines(0.67, 0.38, 0.35),
        SINE_TABLE,
        f"8000 {OUR_SINES} in training; 1000 tasks at test",
        "sine_maml",
    ),
    Group(
        *("pretraining-sine", "Pretraining on all sines, then gradient steps", "MSE"),
        sines(2.41, 2.23, 2.19),
        Paper(FINN, "table 2", "the same waves and network, fine-tuned with a tuned step size"),
        f"2000 {OUR_SINES} as one set; α chosen for each number of steps on 500 other tasks",
        "sine_pretraining",
    ),
    Group(
        *("fomaml-sine", "MAML on sines, first order", "MSE"),
        sines(),
        Paper(FINN, "no table for waves"),
        f"2000 {OUR_SINES} in training; 1000 tasks at test",
        "sine_fomaml",
        readme=False,
    ),
    Group(
        *("reptile-sine", "Reptile on sines", "MSE"),
        sines(),
        Paper(NICHOL, "no number that could be verified", "φ in [0, 2π]: another family"),
        f"φ in [0, π]; 2000 {OUR_SINES} as one set, five inner steps",
        "sine_reptile",
        readme=False,
    ),
    Group(
        *("oracle-sine", "Oracle on sines: amplitude and phase are inputs", "MSE"),
        {"told": (None, None)},
        Paper(FINN, "figures 3 and 6", SINES),
        "2000 steps of 25 waves with 15 points each, β climbs to 0.01 and falls to zero",
        "sine_oracle",
        none="figure only",
        readme=False,
    ),
    Group(
        *("sine-exact", "Sines without any adaptation", "MSE"),
        {"zero everywhere": (4.252, None), "-(5.1/π) cos x": (3.006, None)},
        Paper("exact: E[A²]/2, and what the mean of all waves leaves of it", "derived by hand"),
        "10 000 waves drawn, 100 points each",
        "sine_exact",
    ),
    Group(
        *("closed-form", "Solved head on sin x and cos x", "MSE"),
        {"K = 2": (0.0, None)},
        Paper("exact: A sin(x - φ) is a combination of sin x and cos x", "derived by hand"),
        "1000 waves without noise, two points, no penalty, float64",
        "closed_form",
    ),
    Group(
        *("features-sine", "Solved head on learned features, sines", "MSE"),
        {f"K = {k}": (None, None) for k in (2, 5, 10)},
        Paper("Bertinetto and others 2019 solve heads on miniImageNet", "nothing for waves"),
        "2000 steps of 25 tasks, 40 features by tanh, five support and ten query points, a ridge "
        "of 0.01; 1000 waves",
        "sine_features",
    ),
    Group(
        *("maml", "MAML on Omniglot, 5 ways", "%"),
        ways(*MAML_CELLS[:2]),
        MAML_TABLE,
        f"{OUR_MAML}; α = 0.4 on the mean, one step at test; {OUR_SHOTS}",
        "maml_shipped",
        recorded=MAML_FILE,
    ),
    Group(
        *("maml-no-conv", "MAML on Omniglot, no convolutions", "%"),
        ways((89.7, 1.1), (97.5, 0.6)),
        Paper(FINN, "table 1", "the same with layers of 256, 128, 64 and 64 and batch norm"),
        f"{OUR_SPLIT}; 20 × 20, 3000 steps of 4 tasks with five queries a class, a peak β of 0.01; "
        f"α = 0.4 on the mean, one step at test; {OUR_SHOTS}",
        "maml_dense",
    ),
    Group(
        *("maml-20-way", "MAML on Omniglot, 20 ways", "%"),
        ways(*MAML_CELLS[2:], of=TWENTY),
        MAML_TABLE,
        OUR_TWENTY,
        "maml_20",
        recorded=CONTEST_FILE,
    ),
    Group(
        *("first-order", "MAML first order, 5 ways", "%"),
        ways((98.3, 0.5), (99.2, 0.2)),
        FIRST_ORDER,
        f"{OUR_MAML}; α = 0.4 on the mean, one step at test; {OUR_SHOTS}",
        "first_order_shipped",
        recorded=MAML_FILE,
    ),
    Group(
        *("first-order-20-way", "MAML first order, 20 ways", "%"),
        ways((89.4, 0.5), (97.9, 0.1), of=TWENTY),
        FIRST_ORDER,
        OUR_TWENTY,
        "first_order_20",
        recorded=CONTEST_FILE,
    ),
    Group(
        *("anil", "ANIL, 20 ways", "%"),
        ways((96.2, 0.5), (98.0, 0.3), of=TWENTY),
        Paper(RAGHU, OF_THREE, "MAML's, but the head alone adapts"),
        OUR_TWENTY,
        "anil_20",
        recorded=CONTEST_FILE,
    ),
    Group(
        *("anil-maml", "MAML in ANIL's paper, 20 ways", "%"),
        ways((93.7, 0.7), (96.4, 0.1), of=TWENTY),
        Paper(RAGHU, OF_THREE, "MAML's"),
        OUR_TWENTY,
        "maml_20",
        recorded=CONTEST_FILE,
        readme=False,
    ),
    Group(
        *("reptile", "Reptile, each query alone", "%"),
        ways((95.39, 0.09), (98.9, 0.1), (88.14, 0.15), (96.65, 0.33)),
        Paper(
            f"as reported in {NICHOL}",
            "table of Omniglot",
            f"{WALKS}, each normalised with the support set only",
        ),
        f"{OUR_WALK}; 400 tasks (20-way: 200) of five queries a class",
        "reptile_recorded",
        recorded=CONTEST_FILE,
    ),
    Group(
        *("reptile-together", "Reptile, queries together", "%"),
        ways((97.68, 0.04), (99.48, 0.06), (89.43, 0.14), (97.12, 0.32)),
        Paper(
            f"as reported in {NICHOL}",
            "table of Omniglot, with transduction",
            f"{WALKS}, all of a task normalised together",
        ),
        f"{OUR_WALK}; 600 tasks (20-way: 150) of one query a class",
        "reptile_together",
        recorded=CONTEST_FILE,
    ),
    Group(
        *("protonet-long", "ProtoNet, the long run", "%"),
        ways(*PROTO_CELLS),
        PROTO_TABLE,
        f"{OUR_SPLIT}; 4000 episodes of 28 × 28, 64 filters, two queries a class, trained on one "
        "shot, also for five; 1000 tasks of five queries a class",
        "protonet_shipped",
        recorded=PROTO_FILE,
    ),
    Group(
        *("protonet-30-s", "ProtoNet, half a minute", "%"),
        ways(*PROTO_CELLS),
        PROTO_TABLE,
        f"{OUR_PROTO}; trained on one shot, also for five",
        "protonet_recipe",
        recorded=PROTO_FILE,
    ),
    Group(
        *("protonet-five-shot", "ProtoNet trained on five shots", "%"),
        ways(98.5, 99.7, 94.7, 98.9),
        PROTO_TABLE._replace(where="table 4"),
        OUR_PROTO.replace("667", "286"),
        "protonet_five_shot",
        recorded=PROTO_FILE,
    ),
    Group(
        *("matching", "Matching networks", "%"),
        ways(98.1, 98.9, 93.8, 98.5),
        Paper(
            "Vinyals and others 2016, arXiv 1606.04080, as quoted by Snell and by Finn",
            "table 1 of both",
            MIXED,
        ),
        f"{OUR_PROTO}; no full context embeddings, cosines divided by 0.1",
        "matching_recorded",
        recorded=PROTO_FILE,
    ),
    Group(
        *(
            "within-alphabet",
            "20-way 1-shot within one alphabet: others, and our long ProtoNet",
            "%",
        ),
        ways(
            *(95.5, 96.7, 92.0, 86.5),
            of=("people", "program learning", "Siamese network", "convolutional network"),
        ),
        Paper(
            "Lake, Salakhutdinov and Tenenbaum 2015, Science 350",
            "errors of 4.5, 3.3, 8.0 and 13.5 %",
            "20 published tasks of ten alphabets",
        ),
        "50 tasks in their style from each of 20 alphabets, ± over the alphabets; the same network "
        "of ours beside each",
        "protonet_shipped",
        recorded=PROTO_FILE,
    ),
    Group(
        *("protonet-paper", "ProtoNet, the paper's protocol", "%"),
        ways(*PROTO_CELLS),
        PROTO_TABLE,
        "characters mixed by our own draw; 20 000 episodes, β climbs to 0.01 and falls to zero",
        "protonet_paper",
        **NEEDS_GPU,
    ),
    Group(
        *("maml-paper", "MAML on Omniglot, the paper's protocol", "%"),
        ways(*MAML_CELLS),
        MAML_TABLE,
        "characters mixed by our own draw; the loss is a mean, so α = 2",
        "maml_paper",
        **NEEDS_GPU,
    ),
]
