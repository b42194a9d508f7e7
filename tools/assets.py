"""Makes the files in mlcourse/assets anew: python tools/assets.py [name ...]"""

import sys
import time
from collections import ChainMap
from itertools import product

import numpy as np
import torch
from tqdm import tqdm

from mlcourse import paths
from mlcourse.evaluation import estimate
from mlcourse.learners import (
    head_to_head,
    head_to_head_waves,
    maml_runs,
    networks,
    protonet_runs,
    sine_features,
    sine_runs,
    transfer,
    wave_recognition,
)
from mlcourse.learners import transfer_runs as record
from mlcourse.learners.networks import conv4
from mlcourse.tasks import Characters, Episode, load_characters, omniglot
from mlcourse.tasks.glyphs import make_glyphs

CPU = torch.device("cpu")
PRETRAINING_STEPS = 2000


def glyphs() -> None:
    """The generated alphabets that stand in for Omniglot."""
    made = omniglot.CharacterData(*make_glyphs(seed=0), "generated alphabets")
    omniglot.write_cache(paths.asset("glyphs_28.npz"), made, omniglot.GLYPHS)


def pretrained(pool: Characters, name: str, with_head: bool = False) -> None:
    """A body, and maybe its head, after the longer run on all characters of a pool."""
    torch.manual_seed(0)
    work = transfer.Pretraining(conv4(pools=3), pool, CPU)
    for i in tqdm(range(PRETRAINING_STEPS), desc=name):
        work.step(i / PRETRAINING_STEPS)
    head = {"head": work.head} if with_head else {}  # most of the file
    networks.save(paths.asset(name), body=work.body, **head)


def real(size: int = 28) -> omniglot.CharacterData:
    """Omniglot, which the recorded runs are about."""
    data = load_characters(size)
    if not data.real:
        raise SystemExit("Omniglot is needed to make this file.")
    return data


def pretrained_omniglot() -> None:
    """A classifier of the 964 background characters."""
    pretrained(real().background, "conv4_omniglot.npz", with_head=True)


def pretrained_choice() -> None:
    """The same without the validation alphabets: recipes are chosen with it."""
    pretrained(transfer.for_choosing(real().background)[0], "conv4_choice.npz")


def pretrained_glyphs() -> None:
    """A classifier of the generated background characters."""
    pretrained(omniglot.generated(28).background, "conv4_glyphs.npz")


def fine_tuned(body, episodes) -> np.ndarray:
    """Queries right, in %, uint8 (K, depth, α, tasks, checkpoints); no body means from scratch."""
    depths, rates = (record.DEPTHS, record.RATES) if body else ((4,), record.SCRATCH_RATES)
    settings = [*product(record.SHOTS, depths, rates)]
    found = torch.stack([record.accuracies(body, episodes, *s) for s in tqdm(settings)])
    shape = len(record.SHOTS), len(depths), len(rates), *found.shape[1:]
    return found.mul(100).round().byte().view(shape).numpy()


def runs(name: str, checkpoint: str, pool: Characters) -> None:
    """Fine-tuning and training from scratch at all settings."""
    episodes = record.tasks(pool)
    tuned = fine_tuned(record.pretrained(checkpoint), episodes)
    np.savez_compressed(paths.asset(name), tuned=tuned, scratch=fine_tuned(None, episodes))


def runs_choice() -> None:
    """Runs on the validation alphabets, to choose by."""
    pool = transfer.for_choosing(real().background)[1]
    runs("runs_choice.npz", "conv4_choice.npz", pool)


def runs_evaluation() -> None:
    """Runs on the evaluation alphabets, to report."""
    runs("runs_evaluation.npz", "conv4_omniglot.npz", real().evaluation)


def runs_frozen() -> None:
    """Heads on frozen features, on both sets of alphabets."""
    data, found = real(), {}
    for name, checkpoint, pool in [
        ("choice", "conv4_choice.npz", transfer.for_choosing(data.background)[1]),
        ("evaluation", "conv4_omniglot.npz", data.evaluation),
    ]:
        heads = record.frozen(record.pretrained(checkpoint), record.tasks(pool))
        found |= {f"{name}.{part}": v.numpy() for part, v in heads._asdict().items()}
    np.savez_compressed(paths.asset("runs_frozen.npz"), **found)


def runs_inverted() -> None:
    """Inverted drawings, K = 5: from scratch and tuned, at the settings chosen on normal ones."""
    episodes, found = record.inverted(record.tasks(real().evaluation)), {}
    for name, method in (("scratch", "from scratch"), ("tuned", "full fine-tuning")):
        found[name] = record.rerun(record.pretrained(), episodes, 5, method).numpy()
    np.savez_compressed(paths.asset("runs_inverted.npz"), **found)


def runs_mixture() -> None:
    """λ-mixtures of source and target loss, on the evaluation alphabets."""
    data = real()
    source, episodes = record.source(data), record.tasks(data.evaluation)
    found = []
    for lam, number in tqdm([*product(record.LAMBDAS, range(len(episodes.query.y)))]):
        episode = record.task(episodes, number, record.MIXTURE_SHOTS)
        found.append([right for _, *right in record.mixture(source, episode, number, lam)])
    right = torch.tensor(found).view(len(record.LAMBDAS), -1, len(transfer.CHECKPOINTS), 2)
    np.savez_compressed(paths.asset("runs_mixture.npz"), right=right.numpy())


def run_on_characters(name: str, data: omniglot.CharacterData):
    """A recorded run of MAML or a relative: the learner, and what is said of it."""
    method, seed, steps, permuted, meta_batch = maml_runs.RUNS[name]
    pool = data.background.rotated()
    run, learner = maml_runs.training(method, pool, seed, permuted, meta_batch)
    curve, spent = [], 0.0
    for i in tqdm(range(steps + 1), desc=name):
        if steps == maml_runs.LONG and i in maml_runs.CURVE:
            some = maml_runs.episodes(data.evaluation, 5, 300)
            right = estimate(maml_runs.judged(maml_runs.taught(run, learner), some))
            curve.append((i, spent, right.mean, right.half_width))
        began = time.perf_counter()
        if i < steps:
            run.step(i / steps)
        spent += time.perf_counter() - began
    learner = maml_runs.taught(run, learner)
    found = maml_runs.judgement(learner, data.evaluation)
    return learner, found | ({"curve": torch.tensor(curve)} if curve else {})


def maml_characters() -> None:
    """MAML and its relatives on Omniglot: what they learned, and how good it is."""
    data, learners, found = real(maml_runs.SIZE), {}, {}
    for name in maml_runs.RUNS:
        learners[name], said = run_on_characters(name, data)
        found |= {f"{name}/{part}": v.numpy() for part, v in said.items()}
    shipped = [maml_runs.arrays(name, learners[name]) for name in maml_runs.SHIPPED]
    np.savez_compressed(paths.asset("maml_characters.npz"), **dict(ChainMap(*shipped)))
    np.savez_compressed(paths.asset("runs_maml.npz"), **found)


def run_of_protonet(name: str) -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    """A recorded run of a prototypical network: what it learned, and how good it is."""
    run = protonet_runs.runs()[name]
    data, steps = real(run.recipe.size), run.steps()
    work = protonet_runs.Training(run.recipe, data.background.rotated(), CPU, run.seed)
    looks = [round(part * steps) for part in protonet_runs.CURVE]
    curve, spent = [], 0.0
    for i in tqdm(range(steps + 1), desc=name):
        if name in protonet_runs.LONG and i in looks:
            features = protonet_runs.embedded(work.net, data.evaluation)
            right = estimate(protonet_runs.judged(protonet_runs.tasks(features, 5, 1), 5))
            curve.append((i * run.recipe.images(), spent, right.mean, right.half_width))
        began = time.perf_counter()
        if i < steps:
            work.step(i / steps)
        spent += time.perf_counter() - began
    features = protonet_runs.embedded(work.net, data.evaluation)
    recipe = run.recipe
    found = protonet_runs.judgement(features, data.evaluation, recipe.distance, recipe.temperature)
    return work.net, found | ({"curve": torch.tensor(curve)} if curve else {})


def before_training() -> dict[str, dict[str, torch.Tensor]]:
    """The baselines: pixels, a network as it was born, and one that only saw what to normalise."""
    data = real(protonet_runs.BASE.size)
    net = protonet_runs.BASE.net()
    found = {"pixels": data.evaluation.images.flatten(2).float().div(255)}
    found["untrained"] = protonet_runs.embedded(net, data.evaluation)
    protonet_runs.see(net, data.background)
    found["normalised"] = protonet_runs.embedded(net, data.evaluation)
    return {n: protonet_runs.judgement(f, data.evaluation) for n, f in found.items()}


def protonets() -> None:
    """Prototypical networks on Omniglot: all recorded runs, and the networks that are kept."""
    said, keep = before_training(), {v: k for k, v in protonet_runs.SHIPPED.items()}
    for name in protonet_runs.runs():
        net, said[name] = run_of_protonet(name)
        if name in keep:
            networks.save(paths.asset(f"protonet_{keep[name]}.npz"), net=net)
    write_protonets(said)


def write_protonets(said: dict[str, dict[str, torch.Tensor]]) -> None:
    """The file of what was said of the runs; accuracies are counts of 100 queries at most."""
    arrays = {
        f"{name}/{part}": v.float().numpy() for name, run in said.items() for part, v in run.items()
    }
    np.savez_compressed(paths.asset("runs_protonet.npz"), **arrays)


def watched(steps: int, step, answer, tasks: Episode, name: str) -> torch.Tensor:
    """Train to the end, judging on the way: (CURVE, 3) of step, seconds and part right."""
    looks = {round(part * steps) for part in head_to_head.CURVE}
    found, spent = [], 0.0
    for i in tqdm(range(steps), desc=name):
        began = time.perf_counter()
        step(i / steps)
        spent += time.perf_counter() - began
        if i + 1 in looks:
            found.append((i + 1, spent, head_to_head.judge(answer(), tasks).mean()))
    return torch.tensor(found)


def taught(source: str, seed: int, n_way: int, data: omniglot.CharacterData):
    """A training of the head to head, made anew: what was learned, and how it went."""
    pool = data.background.rotated()
    tasks = data.evaluation.sample(100, 1, 5, torch.Generator().manual_seed(3), n_way)
    if source in head_to_head.GRADIENT:
        run, learner, steps = head_to_head.gradient_run(source, pool, seed, n_way)
        net = None
    elif source == "pretrained":
        run, steps = head_to_head.pretraining(pool, seed)
        net = run.body
    else:
        run, steps = head_to_head.metric_run(source, pool, seed)
        net = run.net

    def learned():
        return net or maml_runs.taught(run, learner)

    def answer() -> head_to_head.Predict:
        name = "nearest mean" if source == "pretrained" else source
        return head_to_head.predictor(name, learned())

    curve = watched(steps, run.step, answer, tasks, f"{source}/{n_way}/{seed}")
    return learned(), curve


def compared(name: str, learned, seed: int, n_way: int, data: omniglot.CharacterData) -> dict:
    """Queries right of one method, uint8 (shots, tasks), wherever this training can be judged."""
    predict, found = head_to_head.predictor(name, learned), {}
    for ways, shift in head_to_head.settings(seed):
        if name in head_to_head.GRADIENT and ways != n_way:
            continue
        n_tasks = head_to_head.tasks_of(name, ways, shift)
        tasks = head_to_head.episodes(data, shift, ways, n_tasks)
        right = head_to_head.accuracies(predict, tasks, head_to_head.shots_of(ways, shift))
        counts = right.mul(ways * head_to_head.QUERIES).round().byte()
        found[f"{ways}/{shift}/{name}/{seed}"] = counts.numpy()
    return found


def told(source: str, seed: int, n_way: int) -> tuple[dict, dict]:
    """One training and what was said of it: arrays for the two files of the head to head."""
    data = real(head_to_head.SIZE)
    if source in head_to_head.UNTRAINED:
        return compared(source, None, seed, n_way, data), {}
    if seed == 0 and (source, n_way) in head_to_head.ELSEWHERE:
        return compared(source, head_to_head.shipped(source, n_way), seed, n_way, data), {}
    learned, curve = taught(source, seed, n_way, data)
    users = head_to_head.PRETRAINED if source == "pretrained" else (source,)
    found = {f"curve/{source}/{n_way}/{seed}": curve.numpy()}
    for name in users:
        found |= compared(name, learned, seed, n_way, data)
    return found, {} if seed else head_to_head.arrays(source, learned, n_way)


def contest() -> None:
    """All methods on the same episodes: what they learned, and how good it is."""
    found, kept = {}, {}
    for training in head_to_head.TRAININGS:
        said, tensors = told(*training)
        found, kept = found | said, kept | tensors
    write_head_to_head(found, kept)


def write_head_to_head(found: dict, kept: dict) -> None:
    """The two files."""
    np.savez_compressed(paths.asset("runs_head_to_head.npz"), **found)
    np.savez_compressed(paths.asset("head_to_head.npz"), **kept)


def contest_waves() -> None:
    """The same on sine waves, from what chapters 05 and 09 ship."""
    found = {}
    for shift, name in tqdm([*product(head_to_head_waves.SHIFTS, head_to_head_waves.METHODS)]):
        for seed in head_to_head_waves.seeds(name):
            errors = head_to_head_waves.errors(name, shift, seed)
            found[f"{shift}/{name}/{seed}"] = errors.half().numpy()
    np.savez_compressed(paths.asset("runs_head_to_head_waves.npz"), **found)


def runs_sine() -> None:
    """Whole runs of MAML on sine waves, for a grid of α, β and inner steps."""
    settings = [*product(sine_runs.ALPHAS, sine_runs.BETAS, sine_runs.INNER_STEPS)]
    runs = [[*sine_runs.run(*setting)] for setting in tqdm(settings)]
    shape = len(sine_runs.ALPHAS), len(sine_runs.BETAS), len(sine_runs.INNER_STEPS)
    losses, curves = (
        torch.stack([torch.stack([found[i] for found in run]) for run in runs]) for i in (0, 1)
    )
    np.savez_compressed(
        paths.asset("runs_sine.npz"),
        losses=losses.unflatten(0, shape).numpy(),
        curves=curves.unflatten(0, shape).half().numpy(),
    )


def rules_sine() -> None:
    """What MAML and its relatives learn on sine waves, three runs each."""
    settings = [*product(sine_runs.RULES, sine_runs.SEEDS)]
    runs = [sine_runs.train_rule(*setting) for setting in tqdm(settings)]
    parts = {
        "params": [sine_runs.flat(run.params) for run in runs],
        "rates": [torch.tensor([*run.inner_lrs.values()]) for run in runs],
        "first": [run.first for run in runs],
    }
    shape = len(sine_runs.RULES), len(sine_runs.SEEDS)
    found = {name: torch.stack(part).unflatten(0, shape).numpy() for name, part in parts.items()}
    np.savez_compressed(paths.asset("rules_sine.npz"), **found)


def features_sine() -> None:
    """Features of sine waves with a solved head, on their way, for five sizes; and three rules."""
    found = {}
    for size in tqdm(sine_features.SIZES):
        ways = [sine_runs.flat(c.params) for c in sine_features.run(n_features=size)]
        found[f"size/{size}"] = torch.stack(ways).numpy()
    for rule in sine_features.RULES:
        ends = [[*sine_features.run(rule, seed)][-1] for seed in tqdm(sine_features.SEEDS)]
        found[f"rule/{rule}"] = torch.stack([sine_runs.flat(end.params) for end in ends]).numpy()
        found[f"first/{rule}"] = np.array([end.losses[: sine_features.FIRST] for end in ends])
    settings = product(sine_features.NOISES, sine_features.FREQUENCIES)
    rows = torch.stack([sine_features.maml_medians(*setting) for setting in settings])
    found["maml"] = rows.unflatten(0, (len(sine_features.NOISES), -1)).numpy()
    np.savez_compressed(paths.asset("features_sine.npz"), **found)


def wave_embedding() -> None:
    """A set embedding that says which wave made some points."""
    networks.save(paths.asset("wave_embedding.npz"), embedding=wave_recognition.trained())


MAKERS = {
    f.__name__: f
    for f in (
        *(glyphs, pretrained_omniglot, pretrained_choice, pretrained_glyphs),
        *(runs_choice, runs_evaluation, runs_frozen, runs_inverted, runs_mixture),
        *(runs_sine, rules_sine, features_sine, wave_embedding, maml_characters, protonets),
        *(contest, contest_waves),
    )
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        print(f"making {name}", flush=True)
        MAKERS[name]()
