# %% [markdown]
# # 06 · MAML on Omniglot
#
# **By the end you will have shown that the lines which learned sine waves learn new
# characters from one drawing of each, and that batch norm, the head and the size of the
# step decide how well.**
#
# About 65 minutes, and 40 more if you solve all five exercises; sections 8 and 9 are
# optional. For a 40-minute lecture take sections 1, 2, 4 and 7, and 5 if you have 45.

# %%
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = ""
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import start

course = start("06", characters=True)

# %% [markdown]
# ## 1 · One step
# *7 minutes*
#
# Five characters of an unknown alphabet, one drawing of each, and 25 new drawings to be
# named: a 5-way 1-shot task, as in chapter 01. The learner is a small convolutional
# network that MAML has prepared. It sees the five drawings, takes *one* gradient step, and
# answers. Chance is right in 20 of 100.
#
# And what is such a start good for by itself?

# %%
from mlcourse.labs.predict import guess, predict

question = "Before its step: how many of 100 drawings does the prepared network name?"
predict("before_the_step", question, 0, 100, 1, 50, " %")

# %% [markdown]
# Then play. Support on top, five of the 25 queries on the left; the bars are
# probabilities, before the steps and after them, and the right answers are framed. On the
# right you see how far each layer moved. The other methods on the slider are the subject of
# this chapter.

# %% tags=["nbval-ignore-output"]
from mlcourse.labs import ch06
from mlcourse.learners import maml_runs
from mlcourse.tasks import load_characters

data = load_characters(maml_runs.SIZE)  # pictures of 20 × 20 are large enough
ch06.task_lab(data.evaluation)

# %%
from mlcourse.evaluation import estimate, paired_difference

before, after = (estimate(ch06.scores("MAML", steps=k).mean(0)) for k in (0, 1))

# %% tags=["nbval-ignore-output"]
from mlcourse.pictures import show

show(*ch06.reveal(before, after, guess("before_the_step")))

# %%
from mlcourse.claims import claim

claim(abs(before.mean - 0.2) < 0.02, "Before the step: chance, 20 %, to two points.")
claim(after.low > 0.88, "After one step: over 88 %.")
third = paired_difference(*(ch06.scores("MAML", steps=k).mean(0) for k in (3, 1)))
claim(abs(third.mean) < 0.01, "Two further steps change it by less than a point.")

# %% [markdown]
# The start names no character, and it cannot: which of the five is called 3 is decided
# anew in each task. All it has is a place from which one step leads far.
#
# These accuracies were recorded: 600 tasks from the 20 evaluation alphabets, the same for
# every method, and two trainings of each, whose mean is shown. Go back to the lab once more
# and move the number of steps. Most of what MAML does is done by the first.

# %% [markdown]
# ## 2 · The same lines
# *9 minutes*
#
# The network is a conv-4 with 32 filters a block: convolution, batch norm, ReLU and
# pooling, four times, until 20 × 20 pixels are one, and a linear head for five classes.
# Then come the lines that learned sine waves. Look for what has changed.

# %%
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from mlcourse.learners import networks

net = networks.few_shot(n_way=5)


# %%
def task_loss(params, points):
    return cross_entropy(functional_call(net, params, (points.x,)), points.y)


def adapt(params, support, inner_lr, steps=1):
    for _ in range(steps):
        grads = grad(task_loss)(params, support)
        params = {name: p - inner_lr * grads[name] for name, p in params.items()}
    return params


def meta_loss(params, episodes, inner_lr):
    def after_adapting(episode):
        return task_loss(adapt(params, episode.support, inner_lr), episode.query)

    return vmap(after_adapting)(episodes).mean()


# %% [markdown]
# One word: cross-entropy where there was a squared error. That is what **model-agnostic**
# means. The lines ask for a loss that can be differentiated, and they do not care what
# computes it. The package's functions, a few keywords richer, must give the same
# meta-gradient, with every second derivative that hides in it.

# %%
from mlcourse.learners import maml
from mlcourse.tasks import Episode, Points

tasks = data.background.sample(4, 1, 5, torch.Generator().manual_seed(0))
tasks = Episode(*(Points(side.x.double(), side.y) for side in tasks))
net, params = net.double(), networks.parameters(net.double())


# %%
def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


ours = grad(meta_loss)(params, tasks, 0.4)
theirs = maml.meta_gradient(networks.task_loss(net), params, tasks, 0.4)
off = (flat(ours) - flat(theirs)).norm() / flat(theirs).norm()
claim(off < 1e-10, "By hand and by package: one meta-gradient, to ten digits.")
count = len(flat(params))
claim(count == 28_357, "It has 28 357 entries.")

# %% [markdown]
# The explicit loop of chapter 04 gives them too:

# %%
leaves, total = {n: p.clone().requires_grad_() for n, p in params.items()}, 0.0
for support, query in zip(zip(*tasks.support), zip(*tasks.query)):
    inner = task_loss(leaves, Points(*support))
    grads = torch.autograd.grad(inner, [*leaves.values()], create_graph=True)
    adapted = {n: p - 0.4 * g for (n, p), g in zip(leaves.items(), grads)}
    total = total + task_loss(adapted, Points(*query)) / 4
slow = torch.autograd.grad(total, [*leaves.values()])
off = (flat(dict(enumerate(slow))) - flat(ours)).norm() / flat(ours).norm()
claim(off < 1e-10, "A loop over tasks: the same.")

# %% [markdown]
# ## 3 · Where the head starts
# *10 minutes*
#
# A network for one classification may start its head at zero. May this one? The loss
# reaches the body through the head: the gradient of the features is Wᵀ(p − y), with p the
# probabilities. If all rows of W are equal, then Wᵀ(p − y) is that row times the sum of
# p − y, which is zero.

# %%
support = Points(tasks.support.x[0], tasks.support.y[0])
zero = params | {name: torch.zeros_like(params[name]) for name in maml_runs.HEAD}
inner = grad(task_loss)(zero, support)
body = {name: g for name, g in inner.items() if name not in maml_runs.HEAD}
claim(flat(body).abs().max() == 0, "Zero head: no layer of the body moves at all.")
head = {name: inner[name] for name in maml_runs.HEAD}
claim(flat(head).norm() > 0.01, "The head does.")

# %% [markdown]
# So with one inner step MAML is then **ANIL**, "almost no inner loop": only the head
# adapts. And the outer loop hardly leaves this place. Labels are drawn at random, so no row
# of the head is special, and over many tasks all rows have the same mean gradient. Within a
# task the rows' gradients sum to zero, as p − y does. So that mean is zero, up to what a
# finite number of tasks leaves over. Is the body then taught what ANIL would teach it?

# %%
def of_body(inner_lr):
    found = maml.meta_gradient(networks.task_loss(net), zero, tasks, inner_lr)
    return flat({n: g for n, g in found.items() if n not in maml_runs.HEAD})


only_head = dict.fromkeys(maml_runs.HEAD, 0.4)
off = (of_body(0.4) - of_body(only_head)).norm() / of_body(0.4).norm()
claim(off < 1e-10, "It is: MAML's body gets ANIL's meta-gradient, to ten digits.")

# %% [markdown]
# Our heads start at random, as the paper's do. But a task's five drawings say more about a
# good head than a random number can. **ProtoMAML**
# ([Triantafillou and others 2020](https://arxiv.org/abs/1903.03096)) begins each task with
# the nearest class mean of chapter 02. Since −‖z − c‖² = −‖z‖² + 2c · z − ‖c‖², this is a
# linear layer. *Exercise, about 8 minutes, ●●○.*

# %%
from mlcourse.exercises.ch06 import check


def prototype_head(features, labels, n_way):
    """Weight (n_way, d) and bias (n_way,) that classify by the nearest class mean.

    features z: float64 (points, d); labels: int64 (points,), 0 to n_way - 1, each
    at least once, in any order, not equally often. With cₖ the mean of class k, the
    scores z @ weight.T + bias of a new z are −‖z − cₖ‖², up to an amount that is
    the same for all k: the softmax cannot see it.
    """
    raise NotImplementedError


# %%
check.head(prototype_head)

# %% [markdown]
# The steps may then move this head, and the body with it. (The package adds the prototypes
# to learned weights that start at zero.) Even a network that has learned nothing is then
# above chance, about as good as the nearest drawing in pixels. Whoever trains with this
# start has to beat that number first.

# %%
judged_on = maml_runs.episodes(data.evaluation, n_query=5)
few = Episode(*(Points(side.x[:200], side.y[:200]) for side in judged_on))
untrained = maml_runs.begin(maml_runs.METHODS["ProtoMAML"])
blank = estimate(maml_runs.judged(untrained, few, steps=0))
claim(0.4 < blank.low, "Untrained, from prototypes: over 40 %.", data=data)

# %% [markdown]
# ## 4 · Train it, while you watch
# *10 minutes*
#
# ProtoMAML gets far in few steps, so it is the one to watch. 964 background characters
# in four rotations, each a class of its own; four tasks a step; β climbs to 0.01 and
# falls to zero. One α for every tensor is learned along with the start, and the first
# 30 % of the run are first order. How many tasks, the first α and that share were chosen on
# six validation alphabets, where the candidates lay within a point. The run takes about a
# minute; a GPU that has no room hands over to the CPU.

# %%
from mlcourse.runtime import all_cores
from mlcourse.training import LiveRun

pool = data.background.rotated()
training, learner = maml_runs.training(maml_runs.METHODS["ProtoMAML"], pool)
training.to(course.device)
run = LiveRun(
    lambda: training.step(run.progress), 300, seconds=60, label="loss", to=training.to
)

# %% tags=["nbval-ignore-output"]
with all_cores():
    run()

# %%
training.to(torch.device("cpu"))
live = maml_runs.taught(training, learner)
with all_cores():
    right = maml_runs.judged(live, judged_on)

# %% [markdown]
# Three baselines for it: chance (20 %), the nearest drawing in pixels, and the body that
# learned nothing. Beside them the long run that is shipped, one training of ProtoMAML with
# 6000 steps of eight tasks, and the paper
# ([Finn, Abbeel and Levine 2017](https://arxiv.org/abs/1703.03400), table 1).

# %% tags=["nbval-ignore-output"]
from mlcourse.evaluation import accuracy
from mlcourse.labs.ch01 import nearest

pixels = accuracy(nearest(judged_on), judged_on.query.y)
rows = {"pixels": estimate(pixels), "untrained, prototypes": blank}
rows |= {"this run": estimate(right), "the long run": estimate(ch06.scores("long")[0])}
print(ch06.table_text(rows))
print("the paper, another split     98.7 ± 0.4")

# %%
real, live_score = course.characters, estimate(right)
claim(live_score.low > 0.7, "This run: over 70 %.", data=real, done=run.done)
lead = live_score.low - blank.high
claim(lead > 0.1, "Over ten points above untrained.", data=real, done=run.done)
claim(rows["the long run"].low > 0.96, "The long run: over 96 %.")

# %% tags=["nbval-ignore-output"]
curve = maml_runs.recorded("long/0")["curve"]
means = {"the long run": (curve[:, 0].tolist(), (100 * curve[:, 2]).tolist())}
show(*ch06.curve_figure(means, {"the paper, other split": 98.7}))

# %% [markdown]
# (The curve counts on 300 tasks, the table on 600.) The paper splits the characters at
# random, so letters of one alphabet are on both sides; here whole alphabets are new. It
# also trains longer (60 000 steps of 32 tasks) and has twice as many filters. Part of the
# distance may be that. Another part is a way to count, the subject of the next section.
#
# But first ask what was trained. In the lab, the step of ProtoMAML moved nothing. Here is
# the loss on the support set before the step, and how much the step is worth:

# %%
def support_loss(name):
    learner = maml_runs.shipped(f"{name}/0")
    loss, start = networks.task_loss(learner.net), learner.start

    def one(support):
        params = learner.params
        return loss(start(params, support) if start else params, support)

    with torch.no_grad():
        return vmap(one)(few.support).mean()


# %%
claim(support_loss("MAML") > 1, "MAML: over 1 before the step.", data=real)
for name, words in {"ProtoMAML": "ProtoMAML", "long": "The long run"}.items():
    claim(support_loss(name) < 0.05, f"{words}: under 0.05.", data=real)
    step = paired_difference(*(ch06.scores(name, steps=k).mean(0) for k in (1, 0)))
    claim(abs(step.mean) < 0.003, f"{words}: the step changes under 0.3 points.")

# %% [markdown]
# With one shot each prototype *is* its support drawing, at distance zero. Once training
# has moved the classes apart, the loss on the support is almost zero before the first step,
# its gradient too, and nothing is left to adapt. Trained like this, ProtoMAML is a
# Prototypical Network (chapter 07) with an idle gradient step behind it. After 1000 steps
# it is as good as any other method of this chapter all the same (section 7). Keep that in
# mind when somebody shows you what adaptation can do: compare with no step.

# %% [markdown]
# ## 5 · What batch norm may know
# *9 minutes*
#
# Batch norm subtracts a mean over the batch. Which batch? In the paper's code and in ours,
# the queries of a task are normalised *together*. So the answer to one depends on the
# others: the method is **transductive**. If there is exactly one query of each class, as in
# the paper's code, the batch even has the balance of the support. An honest user hands in
# one drawing and wants one answer. Normalise it with the support and nothing else.
# *Exercise, about 8 minutes, ●●○.*

# %%
def alone(forward, support_x, query_x):
    """The scores of each query when no other query is known, (queries, n_way).

    forward(x) gives the scores (points, n_way) of a batch x (points, ...); its batch
    norm uses the mean and variance of all points of that batch. Give it, for each
    query, the whole support set and that query, each point once. float64.
    """
    raise NotImplementedError


# %%
check.alone(alone)

# %% [markdown]
# Does it matter? First in principle: exchange one query for something else and look at the
# answer to *another*.

# %%
def first_answer(spoiled, alone):
    support, query = (Points(side.x[:2], side.y[:2]) for side in judged_on)
    x = query.x.clone()
    x[:, 1] = x[:, 1] if spoiled is False else 1 - x[:, 1]
    episodes = Episode(support, Points(x, query.y))
    return maml_runs.logits(maml_runs.shipped("MAML/0"), episodes, 1, alone)[:, 0]


# %%
together = (first_answer(True, False) - first_answer(False, False)).abs().max()
claim(together > 0.01, "Together: another query changes this answer.")
apart = (first_answer(True, True) - first_answer(False, True)).abs().max()
claim(apart < 1e-4, "Alone: it does not.")

# %% [markdown]
# Then in numbers: five queries a class together, one query a class together, each query by
# itself. The tasks and supports are the same. The long run is one training, the others are
# the mean of two.

# %% tags=["nbval-ignore-output"]
ways = {"five a class": "five", "one a class": "one", "alone": "alone"}
for name in ("MAML", "ProtoMAML", "long"):
    for words, way in ways.items():
        print(f"{name:10}{words:14}{estimate(ch06.scores(name, way).mean(0))}")

# %%
leaks, costs = {}, {}
for name in ("MAML", "ProtoMAML", "long"):
    five, one, single = (ch06.scores(name, way).mean(0) for way in ways.values())
    leaks[name] = paired_difference(one, five)
    costs[name] = paired_difference(five, single)
    print(f"{name:10} one − five {100 * leaks[name].mean:+.1f} "
          f"± {100 * leaks[name].half_width:.1f}, five − alone "
          f"{100 * costs[name].mean:+.1f} ± {100 * costs[name].half_width:.1f}")

# %%
claim(all(d.low > 0 for d in leaks.values()), "One a class reads higher than five …")
claim(all(d.low > 0 for d in costs.values()), "… and alone lower: for all three.")

# %% [markdown]
# Half a point to three points, each time in the same direction, and two to five from the
# highest way of counting to the lowest. (Part of the fall to *alone* may be that these
# networks were trained with 25 queries together.) None of the three numbers is a lie as
# long as it is said which one it is, and not every paper says. One that does is Reptile's:
# 95.4 alone and 97.7 with transduction
# ([Nichol and others 2018](https://arxiv.org/abs/1803.02999)). So before you compare two
# papers, or this chapter with one, ask what its batch norm was allowed to see.

# %%
sizes = [100 * d.mean for d in (*leaks.values(), *costs.values())]
claim(0.3 < min(sizes) and max(sizes) < 4, "Each difference: 0.3 to 4 points.")
falls = [100 * (leaks[name].mean + costs[name].mean) for name in leaks]
claim(1.5 < min(falls) and max(falls) < 5.5, "One a class to alone: 2 to 5 points.")

# %% [markdown]
# ## 6 · New labels every time
# *7 minutes*
#
# Each task draws anew which character is called 0. What if one forgets it? Then character
# 17 is a 2 in all its tasks, and the network need not adapt: it can learn the names of the
# training characters by heart. A popular repository had a mild form of this fault through
# a harmless `np.unique`, which numbers the classes of a task in their fixed order
# ([issue 8](https://github.com/dragen1860/MAML-Pytorch/issues/8)).
# *Exercise, about 8 minutes, ●●○.*

# %%
def permuted(support_y, query_y, n_way, generator):
    """The labels after a random renaming of the classes, another one for each task.

    support_y, query_y: int64 (tasks, points), 0 to n_way - 1. In one task equal
    labels stay equal and different ones different, over support and query. All
    renamings are equally likely. generator: a `torch.Generator`, the only source
    of randomness. Returns both, new, in the same shapes.
    """
    raise NotImplementedError


# %%
check.permute(permuted)

# %% [markdown]
# The test for it costs one line: the accuracy *before* adaptation. With fair labels it must
# be near chance. Here is MAML after the same training with and without new labels, one
# training each, on known characters with the fixed labels, before any step; and then as
# usual.

# %%
generator = torch.Generator().manual_seed(8)
old = maml_runs.fixed_labels(data.background.rotated(), 100, 5, generator)
names = {"permuted": "MAML/0", "fixed": "fixed labels/0"}
known = {
    words: estimate(maml_runs.judged(maml_runs.shipped(name), old, steps=0))
    for words, name in names.items()
}

# %% tags=["nbval-ignore-output"]
for words, name in names.items():
    new = estimate(maml_runs.recorded(name)["five"][1])
    print(f"{words:9} known characters, no step: {known[words]}; new, one step: {new}")

# %%
chance = all(abs(e.mean - 0.2) < 0.05 for e in known.values())
claim(chance, "Both are within 5 points of chance before a step.", data=real)
claim(len(data.background.rotated()) == 3856, "There were 3856 classes to learn.")
pair = (maml_runs.recorded(name)["five"][1] for name in names.values())
lost = paired_difference(*pair)
claim(abs(lost.mean) < 0.02, "On new characters they differ by under 2 points.")

# %% [markdown]
# A fault with no effect that we can see: not what we had expected. Perhaps 3856 classes are
# too many to learn by heart in 1000 steps, and adapting is easier. Now the same program on
# ten characters, 40 steps:

# %%
ten = data.background.subset(torch.arange(10))


def drilled(permuted):
    training, learner = maml_runs.training(maml_runs.METHODS["MAML"], ten, 0, permuted)
    for i in range(40):
        training.step(i / 40)
    tasks = maml_runs.fixed_labels(ten, 50, 5, torch.Generator().manual_seed(9))
    taught = maml_runs.taught(training, learner)
    return estimate(maml_runs.judged(taught, tasks, steps=0))


# %% tags=["nbval-ignore-output"]
with all_cores():
    by_heart = {"permuted": drilled(True), "fixed": drilled(False)}
print({words: str(e) for words, e in by_heart.items()})

# %%
claim(by_heart["fixed"].low > 0.4, "Fixed: over 40 % before any step.", data=real)
claim(by_heart["permuted"].high < 0.35, "Permuted: under 35 %.", data=real)

# %% [markdown]
# (Permuted may be some points off 20 %. All 50 tasks ask for one naming of the same ten
# characters, and their interval knows nothing of that luck.) So the fault was silent with
# many classes, and with few it took over. Keep the one line, and the test that finds it.

# %% [markdown]
# ## 7 · Who does the work?
# *10 minutes*
#
# One step of MAML moves every tensor, though not equally far. Here is the movement in one
# step, as a part of each layer's length, over 100 tasks, for one training of each method.

# %%
def moved(name):
    learner = maml_runs.shipped(f"{name}/0")
    start, loss = learner.start, networks.task_loss(learner.net)

    def one(support):
        first = start(learner.params, support) if start else learner.params
        return ch06.movement(first, maml.adapt(loss, first, support, learner.inner_lr))

    with torch.no_grad():
        return vmap(one)(Points(few.support.x[:100], few.support.y[:100]))


movements = {name: moved(name) for name in ("MAML", "learned α", "ANIL", "BOIL")}

# %% tags=["nbval-ignore-output"]
show(*ch06.movement_figure(movements))

# %%
for name in ("MAML", "learned α"):
    block, head = movements[name][:, 3].mean(), movements[name][:, 4].mean()
    claim(block > head, f"{name}: block 4 moves farther than the head.", data=real)

# %% [markdown]
# Whose movement matters? Take the trained MAML and let only the head, then only the body,
# take its step.

# %%
trained = maml_runs.shipped("MAML/0")
parts = {"head": {}, "body": {}}
for name, rate in trained.inner_lr.items():
    parts["head" if name in maml_runs.HEAD else "body"][name] = rate
whole = maml_runs.judged(trained, few)
lost = {
    part: maml_runs.judged(trained._replace(inner_lr=rates), few)
    for part, rates in parts.items()
}
lost = {part: paired_difference(whole, right) for part, right in lost.items()}

# %% tags=["nbval-ignore-output"]
for part, gap in lost.items():
    print(f"{part} only: {100 * gap.mean:+.1f} ± {100 * gap.half_width:.1f} lost")

# %%
claim(lost["head"].low > 0.2, "Head only: over 20 points lost.", data=real)
claim(abs(lost["body"].mean) < 0.02, "Body only: within 2 points.", data=real)

# %% [markdown]
# In this training the body does the work, and the head could stay. The literature you meet
# first says the opposite: that MAML mostly *reuses* features and the head adapts
# ([Raghu and others 2020](https://arxiv.org/abs/1909.09157), on 20-way Omniglot and on
# photographs). Others argue that features should change
# ([Oh and others 2021](https://arxiv.org/abs/2008.08882)). All are measurements, of other
# networks, rates and numbers of classes. Take none of them for a law.
#
# Training like that has names: only the head is ANIL, only the body is **BOIL**. Both need
# one change in `adapt`. *Exercise, about 12 minutes, ●●●.*

# %%
def loss_after_some(params, support, query, loss, inner_lr, steps, moving):
    """The query loss of one task when only the tensors named in `moving` adapt.

    params: {name: float64 tensor that requires gradients}, to be left as it is.
    loss(params, points) is one number. moving: a tuple of names; `steps` gradient
    steps of size inner_lr on the support change these tensors, the others stay as
    they are. Returns a tensor that can be differentiated with respect to all params.
    """
    raise NotImplementedError


# %%
check.some(loss_after_some)

# %% [markdown]
# And α itself can be learned, one for each tensor, or one for each weight as in
# **Meta-SGD** ([Li and others 2017](https://arxiv.org/abs/1707.09835)). Now all of them, on
# the same tasks, each after 1000 steps. Black ticks are the two trainings of each. The
# interval is over tasks, the ticks are over the luck of training: read both. Where one
# method's ticks lie on both sides of another's, the trainings do not say which is better.

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch06 import comparison_lab

comparison_lab()

# %%
found = ch06.compare("5 queries a class, 1 step", "MAML")
ahead, seeds = found.leads, found.seeds
for name, lead in ahead.items():
    each = " and ".join(f"{100 * mean:.1f}" for mean in seeds[name])
    print(f"{name:12}{100 * lead.mean:+6.1f} ± {100 * lead.half_width:.1f}   {each}")

# %%
claim(ahead["first order"].high < -0.1, "First order: over ten points behind MAML.")
claim(ahead["ANIL"].high < 0, "ANIL: behind.")
claim(ahead["BOIL"].low > 0 and ahead["ProtoMAML"].low > 0, "BOIL, ProtoMAML: ahead …")
low, high = min(seeds["MAML"]), max(seeds["MAML"])
behind = all(max(seeds[name]) < low for name in ("first order", "ANIL"))
luck = behind and all(min(seeds[name]) > high for name in ("BOIL", "ProtoMAML"))
claim(luck, "… all four in each training, against each of MAML's.")
apart = paired_difference(*(ch06.scores(n).mean(0) for n in ("BOIL", "ProtoMAML")))
claim(abs(apart.mean) < 0.01, "BOIL and ProtoMAML: within a point of each other.")
near = abs(ahead["learned α"].mean) < 0.02
claim(near, "One learned α a tensor: within two points of MAML.")
ends = [(min(seeds[name]), max(seeds[name])) for name in ("learned α", "Meta-SGD")]
astride = all(below < low < high < above for below, above in ends)
claim(astride, "Learned α, Meta-SGD: one training below MAML's two, one above.")

# %% [markdown]
# Compare with what is printed elsewhere. On 20-way Omniglot with one shot ANIL was *ahead*
# of MAML, 96.2 ± 0.5 against 93.7 ± 0.7 (Raghu and others; their ± is the spread of three
# trainings). And first order was level with MAML on photographs, and at
# 98.3 ± 0.5 on 5-way Omniglot in the Reptile paper.
#
# Ours is far behind, and chapter 04 says why that can happen. Its factor was 1 − αλ, where
# λ is a curvature of the support loss, and first order leaves it out. How large is λ at the
# start that MAML has found? Multiply some direction by the Hessian again and again: the
# direction of the largest curvature wins. (`jvp` of the gradient is that product.)

# %%
from torch.func import jvp


def largest_curvature(task):
    support = Points(few.support.x[task], few.support.y[task])
    loss, params = networks.task_loss(trained.net), trained.params
    way = {name: torch.ones_like(p) for name, p in params.items()}
    for _ in range(12):
        length = flat(way).norm()
        way = {name: v / length for name, v in way.items()}
        slope = grad(lambda params: loss(params, support))
        turned = jvp(slope, (params,), (way,))[1]
        curvature, way = flat(way) @ flat(turned), turned
    return float(curvature)


# %%
curvatures = [largest_curvature(task) for task in range(5)]

# %% tags=["nbval-ignore-output"]
print("1 − αλ:", ", ".join(f"{1 - 0.4 * c:.1f}" for c in curvatures))

# %%
far = all(5 < 0.4 * c - 1 < 15 for c in curvatures)
claim(far, "In five of five tasks 1 − αλ is between −5 and −15.", data=real)

# %% [markdown]
# On a quadratic such a step would end, in that direction, more than five times as far from
# the optimum as it began. The support loss is no quadratic: MAML has found a place from
# which the step lands in spite of its curvature. But the factor that first order leaves out
# is then neither small nor positive, and chapter 04 showed what that does. (First order was
# trained at the α that suits MAML. A smaller one may suit it better; we did not search. Two
# further steps help it, though not as far as MAML gets with one.)

# %%
more = ch06.scores("first order", steps=3)
gain = paired_difference(more.mean(0), ch06.scores("first order").mean(0))
claim(gain.low > 0.05, "First order, two more steps: over five points better …")
short = paired_difference(ch06.scores("MAML").mean(0), more.mean(0))
claim(short.low > 0.05, "… and over five behind MAML's one step.")

# %% tags=["nbval-ignore-output"]
learned = maml_runs.shipped("learned α/0").inner_lr
show(*ch06.rates_figure(learned, start=0.4))

# %%
most = max(learned, key=learned.get)
claim(most == "3.0.weight", "The largest learned rate is that of the last convolution.")
claim(min(learned.values()) < 0, "Some learned rates are negative.")

# %% [markdown]
# In this training the learned rates say the same as the movement: the last convolution
# changes most. A negative rate means that a tensor climbs its support loss; that is where
# the outer loop has led.

# %% [markdown]
# ## 8 · Sum or mean (optional)
# *6 minutes*
#
# The paper says α = 0.4. Its code sums the cross-entropies of the support and divides by
# K, not by N · K
# ([utils.py](https://github.com/cbfinn/maml/blob/master/utils.py)). *Exercise, about 4
# minutes, ●○○:* which α on the mean is the same step?

# %%
def rate_on_mean(inner_lr, n_way, k_shot, divisor):
    """The α on the mean loss whose step is that of `inner_lr` on a summed loss.

    A task has n_way · k_shot support points. One program descends their mean loss,
    the other the sum of their losses divided by `divisor`. Returns one number.
    """
    raise NotImplementedError


# %%
check.rate(rate_on_mean)

# %%
def summed_loss(params, points):
    scores = functional_call(net, params, (points.x,))
    return cross_entropy(scores, points.y, reduction="sum") / 1  # K is 1


mean, total = (flat(grad(f)(params, support)) for f in (task_loss, summed_loss))
gap = (total - 5 * mean).norm() / total.norm()
claim(gap < 1e-12, "The gradient of the sum over K is N = 5 times that of the mean.")

# %% [markdown]
# So the paper's 0.4 is 2.0 on the mean, and its 0.1 for 20 classes is 2.0 as well. Whoever
# copies the number with a mean takes a step that is N times too short. Several
# re-implementations with a mean stay below the paper, and one may suspect that this is why.
# Is the longer step the better one? MAML with three fixed rates on the mean, trained and
# judged with it, one training each:

# %% tags=["nbval-ignore-output"]
bold = {"0.08": "α = 0.08", "0.4": "MAML", "2": "α = 2"}
for rate, name in bold.items():
    one, three = (estimate(ch06.scores(name, steps=k)[0]) for k in (1, 3))
    print(f"α = {rate:5} one step {one}, three steps {three}")

# %%
right = {rate: ch06.scores(name)[0] for rate, name in bold.items()}
behind = {rate: paired_difference(right["0.4"], right[rate]) for rate in right}
claim(behind["0.08"].low > 0.02, "α = 0.08: over two points behind 0.4 …")
claim(behind["2"].low > 0.05, "… α = 2: over five.")
broken = paired_difference(right["2"], ch06.scores("α = 2", steps=3)[0])
claim(broken.low > 0.2, "α = 2, two more steps: over twenty points lost.")

# %% [markdown]
# Here it is not. The factor N is exact, and it matters by many points which rate you take;
# but with our network, five ways and 1000 steps the rate in the middle is the best of these
# three. What made the re-implementations fall behind remains open. What carries over: a
# number for α means nothing without the reduction of the loss.

# %% [markdown]
# ## 9 · What goes wrong (optional)
# *6 minutes*
#
# **Native batch norm under `vmap`.** The network of this chapter has a batch norm of its
# own, `BatchNow`: the native one without its scale and offset, which stand outside. Here is
# why, on random pictures and a smooth network: `vmap` with the native one inside, against a
# loop over the tasks.

# %%
def smooth(norm):
    torch.manual_seed(0)
    net = networks.few_shot(5, filters=8, activation=torch.nn.Softplus).double()
    for block in net[:4]:
        block[1], block[3] = norm(8).double(), torch.nn.AvgPool2d(2)
    return net


def native(channels):
    return torch.nn.BatchNorm2d(channels, track_running_stats=False)


# %%
g = torch.Generator().manual_seed(0)
labels = torch.arange(5).expand(3, 5)
noise = torch.rand(2, 3, 5, 1, 20, 20, generator=g, dtype=torch.float64)
random = Episode(*(Points(x, labels) for x in noise))


def gradients(norm):
    loss, params = networks.task_loss(smooth(norm)), networks.parameters(smooth(norm))
    both = zip(zip(*random.support), zip(*random.query))
    single = [by_autograd(loss, params, Points(*s), Points(*q)) for s, q in both]
    together = flat(maml.meta_gradient(loss, params, random, 0.4))
    return together, torch.stack(single).mean(0)


# %%
def by_autograd(loss, params, support, query):
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    inner = torch.autograd.grad(
        loss(leaves, support), [*leaves.values()], create_graph=True
    )
    adapted = {n: p - 0.4 * g for (n, p), g in zip(leaves.items(), inner)}
    found = torch.autograd.grad(loss(adapted, query), [*leaves.values()])
    return flat(dict(zip(leaves, found)))


# %%
def apart(pair):
    return float((pair[0] - pair[1]).norm() / pair[1].norm())


ours, theirs = gradients(networks.BatchNow), gradients(native)
claim(apart(ours) < 1e-10, "BatchNow: vmap and loop agree.")
claim(apart((ours[1], theirs[1])) < 1e-10, "In the loop both norms agree.")

# %% tags=["nbval-ignore-output"]
print(f"native norm, vmap against loop: {100 * apart(theirs):.2f} % off")

# %%
mended = apart(theirs) < 1e-10
claim(mended or apart(theirs) > 1e-3, "Native, vmap: exact, or over 0.1 % off.")

# %%
loss, params = networks.task_loss(smooth(native)), networks.parameters(smooth(native))
single = [
    loss(maml.adapt(loss, params, Points(*s), 0.4), Points(*q))
    for s, q in zip(zip(*random.support), zip(*random.query))
]
off = maml.meta_loss(loss, params, random, 0.4) / sum(single) * 3 - 1
claim(abs(off) < 1e-10, "Native: with vmap the loss is that of the loop.")

# %% [markdown]
# With torch 2.13 the gradient is off. No error, no warning, and the loss itself is right.
# Finite differences are the judge:

# %%
def along(norm, h=1e-6):
    loss, params = networks.task_loss(smooth(norm)), networks.parameters(smooth(norm))
    draw = {"generator": g, "dtype": torch.float64}
    way = {n: torch.randn(p.shape, **draw) for n, p in params.items()}
    sides = [{n: p + s * way[n] for n, p in params.items()} for s in (h, -h)]
    up, down = (maml.meta_loss(loss, side, random, 0.4) for side in sides)
    slope = maml.meta_gradient(loss, params, random, 0.4)
    return float((up - down) / (2 * h)), float(flat(slope) @ flat(way))

# %%
difference, slope = along(networks.BatchNow)
gap = abs(difference / slope - 1)
claim(gap < 1e-6, "BatchNow: differences agree with its gradient.")

# %% [markdown]
# **A stray `squeeze()`.** With one query of each class a count of hits can broadcast
# (5, 1) against (5,), and compares every answer with every label. The accuracy is then
# exactly 1/N, with an interval of zero, whatever the network does
# ([issue 33](https://github.com/jakesnell/prototypical-networks/issues/33)).

# %%
five = torch.arange(5)
hits = {float((said == five[:, None]).double().mean()) for said in (five, 0 * five)}
claim(hits == {0.2}, "Five right answers, or one answer five times: 20 %.")

# %% [markdown]
# **32 tasks.** A widely used example judges on 32 tasks, without an interval. With the
# recorded tasks one can see what such a number may be:

# %%
row = ch06.scores("MAML")[0][:576]
groups = row.view(18, 32).mean(1)
low, high = groups.min(), groups.max()
print(f"18 evaluations of one network: {100 * low:.1f} to {100 * high:.1f} %")
claim(high - low > 0.02, "One network, 32 tasks: over two points apart.")

# %% [markdown]
# ## 10 · Negative control
# *3 minutes*
#
# Shuffle the labels of the support drawings and adapt to them. Whatever stays above chance
# would be a leak.

# %%
mixer = torch.Generator().manual_seed(3)
order = torch.rand(few.support.y.shape, generator=mixer).argsort(1)
mixed = Episode(Points(few.support.x, few.support.y.gather(1, order)), few.query)
control = estimate(maml_runs.judged(maml_runs.shipped("long/0"), mixed))
claim(control.low < 0.2 < control.high, "Shuffled labels: chance, 20 %.", data=real)

# %% [markdown]
# ## What you have shown
#
# The lines of the sine waves learn characters when they are given another loss. The start
# they find knows nothing before its step. What the head begins with, what batch norm may
# see and how long the step is change the number in the report, by half a point or by ten.

# %% tags=["nbval-ignore-output"]
from mlcourse import claims

rows["the long run, one a class"] = estimate(ch06.scores("long", "one")[0])
rows["the long run, alone"] = estimate(ch06.scores("long", "alone")[0])
print(ch06.table_text(rows))
print("MAML, the paper              98.7 ± 0.4 (one query a class, together)")
print("first order, transductive    98.3 ± 0.5 (Nichol and others 2018)")
print(claims.tally())

# %% [markdown]
# Three questions. Why is MAML at chance before its step, and ProtoMAML not? Two papers
# report 98 and 96 with the same network: what would you ask first? Which part of the
# network did most of the adapting, and how do you know?
#
# To read: *Rapid Learning or Feature Reuse?*
# ([Raghu and others 2020](https://arxiv.org/abs/1909.09157)); and on everything that can be
# tuned in MAML, [Antoniou and others 2019](https://arxiv.org/abs/1810.09502).
#
# Next: [07 · ProtoNets, the mathematics](07_protonets_the_mathematics.ipynb).
