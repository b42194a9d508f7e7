# %% [markdown]
# # 08 · ProtoNets on Omniglot
#
# **By the end you will have shown that twelve lines, trained for half a minute on a CPU,
# name characters that nobody trained on, and that "20-way one-shot" is the name of two
# very different tasks.**
#
# About 70 minutes, and 45 more if you solve all four exercises; sections 9 and 10 are
# optional. For a 40-minute lecture take sections 1, 3, 6 and 8.

# %%
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = ""
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import start

course = start("08", characters=True)

# %% [markdown]
# ## 1 · Before any training
# *7 minutes*
#
# Five characters of unknown alphabets, one drawing of each, and new drawings to be named.
# Chapter 07 has the rule: features, a mean for each class, the nearest mean. It does not
# say that the features must be learned.
#
# So take the network as it was born: four blocks of convolution, batch norm, ReLU and
# pooling, all weights random. It turns a drawing into 64 numbers. Chance is right in 20 of
# 100, and the nearest drawing in raw pixels in about 45.

# %%
from mlcourse.labs.predict import guess, predict

question = "How many of 100 drawings does a network with random weights name?"
predict("never_trained", question, 0, 100, 1, 30, " %")

# %% [markdown]
# A thousand tasks from the 20 evaluation alphabets, the same for all three. The third one
# has *seen* background drawings, so that batch norm knows the mean and variance of each
# filter; none of its weights was trained.

# %%
from mlcourse.evaluation import estimate, paired_difference
from mlcourse.learners import protonet_runs

before = {n: protonet_runs.recorded(n) for n in ("pixels", "untrained", "normalised")}
born = {n: estimate(found["5w1s"]) for n, found in before.items()}

# %% tags=["nbval-ignore-output"]
from mlcourse.labs import ch08
from mlcourse.pictures import show

show(*ch08.reveal(born, guess("never_trained")))

# %%
from mlcourse.claims import claim


def lead(one, other, cell="5w1s"):
    return paired_difference(before[one][cell], before[other][cell])


claim(0.43 < born["pixels"].mean < 0.47, "Pixels: 43 to 47 %.")
claim(0.5 < born["untrained"].mean < 0.58, "Random weights: 50 to 58 %.")
claim(lead("untrained", "pixels").low > 0.05, "Over five points ahead of pixels …")
claim(lead("untrained", "normalised").low > 0.02, "… normalising loses over two again.")
claim(lead("pixels", "untrained", "20w5s").low > 0.02,
      "20-way 5-shot: pixel means are over two points ahead of random weights.")

# %% [markdown]
# Random filters and pooling are worth something with one drawing; with 20 ways and five,
# means of pixels overtake them. Whoever trains has to beat the better of the two and not
# chance. (With other settings "high 70s" are reported, and somebody took them for
# [a fault](https://github.com/tristandeleu/pytorch-meta/issues/41). Measure it on your
# own tasks.)
#
# Now play. Columns are classes, a row stands for the five queries of a class (one is
# drawn); the darker a cell, the more probable, and the right cells have a grey frame. Below
# each support drawing stands the *other* drawing that is nearest to the prototype, framed
# in black if it shows another character. Two trained networks are on the slider *features*;
# we come to them.

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import all_cores
from mlcourse.tasks import load_characters

data = load_characters(20)  # pictures of 20 × 20 are enough for most of this chapter
large, unknown = course.characters.evaluation, data.evaluation
with all_cores():
    features = ch08.embeddings(unknown, large)

# %% tags=["nbval-ignore-output"]
ch08.episode_lab(features, unknown)

# %% [markdown]
# ## 2 · Twelve lines
# *9 minutes*
#
# An episode for training is drawn from the background alphabets: N classes, K support
# drawings of each, some queries. The loss is the cross-entropy of the queries, with minus
# the squared distances as scores. There is nothing else: no inner loop, no second
# derivative, no head. *Exercise, about 10 minutes, ●●○.* Try it before you read on.

# %%
from mlcourse.exercises.ch08 import check


def episode_loss(net, support, query, n_way):
    """The mean cross-entropy of the queries of one episode, one number.

    support, query: (images, labels), images (points, 1, h, w), labels int64 (points,),
    0 to n_way - 1 in any order, all equally often. net makes features (points, d) of
    images, here each image by itself: both sets may go through it at once or one after
    the other. The scores are minus the squared distances to the prototypes of the
    support set. Gradients flow to the parameters of net, through both sets.
    """
    raise NotImplementedError


# %%
check.episode(episode_loss)

# %% [markdown]
# And here are ours, with the step that trains them. Support and query go through the
# network together, since batch norm wants one batch.

# %%
import torch
from torch.nn.functional import cross_entropy

from mlcourse.tasks import Points


def loss_of(net, support, query, n_way):
    s, q = net(torch.cat([support.x, query.x])).split([len(support.x), len(query.x)])
    c = torch.stack([s[support.y == k].mean(0) for k in range(n_way)])
    distances = ((q[:, None] - c) ** 2).sum(2)
    return cross_entropy(-distances, query.y)


def episode(pool, n_way, generator):
    return [Points(x[0], y[0]) for x, y in pool.sample(1, 1, 2, generator, n_way)]


def step(net, optimizer, support, query, n_way):
    loss = loss_of(net, support, query, n_way)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# The package's loss, on the features of the same episode, must be the same number; and so
# must its gradient, down to the first convolution.

# %%
from mlcourse.learners import protonet

net, generator = protonet_runs.BASE.net().double(), torch.Generator().manual_seed(0)
support, query = episode(data.background, 60, generator)
support, query = (Points(x.double(), y) for x, y in (support, query))
ours = loss_of(net, support, query, 60)
z = net(torch.cat([support.x, query.x])).split([60, 120])
theirs = protonet.loss(Points(z[0], support.y), Points(z[1], query.y), 60)

# %%
first = net[0][0].weight
grads = [torch.autograd.grad(loss, first)[0] for loss in (ours, theirs)]
off = (grads[0] - grads[1]).norm() / grads[1].norm()
same = abs(ours / theirs - 1) < 1e-10
claim(same, "By hand and by package: one loss, to ten digits.")
claim(off < 1e-10, "And one gradient.")
claim(ours > 8, "It is over 8; whoever guesses has log 60, about 4.1.", data=data)
unsure = loss_of(protonet_runs.BASE.net().double().eval(), support, query, 60)
claim(4.05 < unsure < 4.1, "In evaluation mode: 4.05 to 4.1.", data=data)

# %% [markdown]
# Worse than guessing, with weights that name more drawings than guessing does? Batch norm
# has spread the features of this batch far apart. The softmax of such distances is sure of
# itself, and to be sure and wrong is what the logarithm punishes most. (In the lab the same
# weights were unsure of everything, for in evaluation mode batch norm knew no batch yet, and
# all features lay close together.) So among the first things that training teaches is
# modesty.

# %% [markdown]
# ## 3 · Train it, while you watch
# *12 minutes*
#
# 964 background characters in four rotations, each a class of its own, as in the paper.
# Each episode has 60 of them, one support drawing and two queries of each. The rate of Adam
# climbs to 0.01 and falls to zero. All of this was chosen on six validation alphabets
# (section 10). The run takes about half a minute; a GPU that has no room hands over to the
# CPU.

# %%
from mlcourse.training import LiveRun

pool = data.background.rotated()
training = protonet_runs.Training(protonet_runs.BASE, pool, course.device)
run = LiveRun(
    lambda: training.step(run.progress), 75, seconds=30, label="loss", to=training.to
)

# %% tags=["nbval-ignore-output"]
with all_cores():
    run()

# %% [markdown]
# How good is it? In chapter 06 the answer to one query depended on the other queries,
# through batch norm. It need not: in evaluation mode batch norm uses the means it has
# gathered over the training, and every drawing is embedded by itself. *Exercise, about 12
# minutes, ●●●.*

# %%
def evaluate(net, episodes, n_way):
    """Mean accuracy over tasks, and half the width of its 95 % interval: two numbers.

    episodes: (support, query), each (images, labels) with a leading dimension of
    tasks, as `pool.sample` gives them; every task is classified by its own prototypes.
    Batch norm uses its running statistics, which stay as they are, no graph is built,
    and afterwards net is in the mode, training or not, in which it came.
    The half: 1.96 standard errors over tasks; the standard deviation divides by n - 1.
    """
    raise NotImplementedError


# %%
check.evaluate(evaluate)

# %% [markdown]
# Then each drawing of the 659 evaluation characters can be embedded once, and a thousand
# tasks are sums over a table. (`mine` is yours: add it to `features` and open the lab of
# section 1 again.)

# %%
training.to(torch.device("cpu"))
with all_cores():
    mine = protonet_runs.embedded(training.net, unknown)
    found = protonet_runs.judgement(mine, unknown)

# %% [markdown]
# Beside it: the baselines; two recorded runs of the same recipe with 120 000 and 480 000
# drawings, about half a minute and two minutes of two slow cores with nothing else to do; a
# long one with 28 × 28 pixels, 64 filters and 720 000 drawings, recorded in about half an
# hour; and the paper
# ([Snell, Swersky and Zemel 2017](https://arxiv.org/abs/1703.05175), table 1). (The output
# that is saved here has only 75 steps of "this run".)

# %% tags=["nbval-ignore-output"]
names = {"pixels": "pixels", "untrained": "untrained"}
names |= {"half a minute": "base/0", "two minutes": "two minutes"}
names |= {"the long run": "long"}
scores = {who: protonet_runs.recorded(name) for who, name in names.items()}
scores = {"this run": found} | scores
rows = {
    who: {cell: estimate(right) for cell, right in run.items() if cell != "curve"}
    for who, run in scores.items()
}
print(ch08.table_text(rows))
print(f"{'the paper, another split':26}{98.8:12}{99.7:12}{96.0:12}{98.9:12}")

# %%
real, live = course.characters, rows["this run"]["5w1s"]
claim(live.low > 0.6, "This run: over 60 %, 5-way 1-shot.", data=real, done=run.done)
ahead = live.low - born["untrained"].high
claim(ahead > 0.05, "Over five points above untrained.", data=real, done=run.done)
claim(rows["half a minute"]["5w1s"].low > 0.94, "Half a minute: over 94 %.")
claim(rows["two minutes"]["5w1s"].low > 0.96, "Two minutes: over 96 %.")
long = rows["the long run"]
few, many = long["5w1s"], long["20w1s"]
claim(few.low > 0.975, "The long run: over 97.5 %, 5-way 1-shot …")
claim(0.93 < many.low < many.high < 0.96, "… and 93 to 96 %, 20-way 1-shot.")
half_hour = 1500 < scores["the long run"]["curve"][-1, 1] < 2400
claim(half_hour, "Its recording took 25 to 40 minutes.")

# %% tags=["nbval-ignore-output"]
curves = {who: scores[who]["curve"] for who in ("two minutes", "the long run")}
show(*ch08.curve_figure(curves, {"the paper, another split": 98.8}))

# %% [markdown]
# Half a minute does most of it; what follows is slow. The paper's numbers are not for our
# tasks. Its program trains on the 30 background alphabets and on eight more, 1200
# characters in all, and tests on the 423 that remain, each in four rotations. (One alphabet
# is even cut in two, with characters on both sides.) Its training takes tens of thousands of
# episodes of 360 drawings. So a gap of half a point to the last line says little, in either
# direction. On a GPU you could train that long with these lines; we have not.

# %% [markdown]
# ## 4 · What the training asks for
# *8 minutes*
#
# Ways, shots, queries, pixels, filters, features: each recorded run differs from the base
# recipe in one thing. All embed equally many drawings, so an episode of 5 ways allows
# twelve times as many steps as one of 60. Each was trained twice. The interval is over
# tasks, the black ticks are over the luck of training: read both.

# %% tags=["nbval-ignore-output"]
ch08.variants_lab()

# %%
questions = ["training way N", "training shots K", "queries a class"]
questions += ["image size", "filters", "embedding size"]
for question in questions:
    asked = ch08.variants(question, "20-way 1-shot")
    for name, e in asked.leads.items():
        ends = " and ".join(f"{100 * mean:.1f}" for mean in asked.seeds[name])
        points = f"{100 * e.mean:+5.1f} ± {100 * e.half_width:.1f}"
        print(f"{question:17}{name:>4}  {points}   {ends}")

# %%
def trainings(question, name, cell="20-way 1-shot"):
    return ch08.variants(question, cell).seeds[name]


def behind(question, worse, better, cell="20-way 1-shot"):
    low, high = (trainings(question, name, cell) for name in (worse, better))
    return max(low) < min(high)


# %%
way, shots = "training way N", "training shots K"
rising = behind(way, "5", "20") and behind(way, "20", "60")
claim(rising, "Ways: 5 < 20 < 60, each in both trainings …")
claim(behind(way, "120", "60"), "… and 120 are behind 60.")
claim(behind(shots, "5", "1"), "Five shots in training: behind one, judged on one …")
claim(behind(shots, "5", "1", "20-way 5-shot"), "… and even judged on five.")
asked = "queries a class"
falling = behind(asked, "5", "2") and behind(asked, "2", "1")
claim(falling, "Queries a class: 5 < 2 < 1 in both trainings.")

# %%
for question, order in {
    "image size": ["16", "20", "28"],
    "filters": ["16", "32", "64"],
    "embedding size": ["4", "16", "64"],
}.items():
    rising = all(behind(question, *pair) for pair in zip(order, order[1:]))
    claim(rising, f"{question}: {' < '.join(order)}, each in both trainings.")
claim(behind("embedding size", "256", "64"), "256 features: behind 64.")
sixteen = ch08.variants("embedding size", "20-way 1-shot").leads["16"]
claim(sixteen.low > -0.02, "16 features: within two points of 64.")

# %% [markdown]
# More than 5 ways help, as in the paper's table, up to a point. Its other rule, shots as in
# the test, fails here: an episode of five shots holds more than twice as many drawings,
# there are fewer of them, and the run does not make up for it. More pixels and filters
# pay where drawings are counted; where seconds are counted, 64 filters did not (section
# 10). Four features are too few, sixteen almost enough.
#
# All of these are statements about short runs. The paper's rules come from runs that are
# many times as long.

# %% [markdown]
# ## 5 · Which distance
# *7 minutes*
#
# Chapter 07 gave reasons for the squared Euclidean distance. Does it matter? The paper
# says yes, with a table for *photographs* (miniImageNet, 5-way 5-shot, trained with 20
# ways: cosine 51.5, squared 68.2). It does not say it for Omniglot. Besides, a cosine
# lies between −1 and 1, so the softmax can hardly be sure of anything, unless the scores
# are divided by a **temperature**, 0.1, say. **Matching networks**
# ([Vinyals and others 2016](https://arxiv.org/abs/1606.04080)) let every support drawing
# vote with its cosine; with one shot in training that is the loss of cosine / 0.1.

# %%
for cell in ("20-way 1-shot", "20-way 5-shot"):
    print(cell)
    for name, e in ch08.variants("distance", cell).scores.items():
        ends = " and ".join(f"{100 * m:.1f}" for m in trainings("distance", name, cell))
        print(f"  {name:15}{100 * e.mean:.1f} ± {100 * e.half_width:.1f}   {ends}")

# %%
ahead = ch08.variants("distance", "20-way 1-shot").leads
claim(ahead["cosine"].high < -0.25, "Plain cosine: over 25 points behind squared …")
tempered = ahead["cosine / 0.1"]
claim(-0.06 < tempered.low < tempered.high < -0.02, "… divided by 0.1: two to six.")
claim(behind("distance", "cosine / 0.1", "squared"), "In both trainings.")
claim(behind("distance", "squared", "unsquared"), "Unsquared: both ahead of squared …")
claim(0 < ahead["unsquared"].low and ahead["unsquared"].high < 0.03,
      "… by less than three points.")


# %%
def votes_behind(cell):
    recipes = protonet_runs.VARIANTS["distance"]
    means = ch08.right(recipes["cosine / 0.1"], cell)
    votes = ch08.right(recipes["matching / 0.1"], cell)
    return [float(lead) for lead in (means - votes).mean(1)]


claim(max(map(abs, votes_behind("20w1s"))) < 0.01,
      "One shot, one loss, twice: less than a point apart in each training.")
claim(0 < min(votes_behind("20w5s")) <= max(votes_behind("20w5s")) < 0.02,
      "Five shots: means are ahead of votes in both, by under two points.")

# %% [markdown]
# So most of the cosine's trouble was its missing temperature; with one it still trails.
# The last two rows are the same method as long as there is one shot. In single trainings
# they differ all the same, by a few tenths of a point: rounding sends long runs apart. Take
# no such difference seriously. The lead of means over votes is hardly above it.

# %% [markdown]
# And the *unsquared* distance, behind which stand no class mean and no linear layer, is a
# little better here. In chapter 07 no wild point could pull hard on it, and no bad mistake
# either. Adam's steps hardly depend on the length of the gradient, which may mend the
# second. (One rate
# for all, chosen for the squared distance; with another an effect of this size may change
# sides.) A derivation says what a loss *is*. Which one trains well in half a minute you
# must ask the data.

# %% [markdown]
# ## 6 · Two tasks of one name
# *9 minutes*
#
# "20-way one-shot on Omniglot" can also mean what Lake, Salakhutdinov and Tenenbaum asked
# people: all twenty characters come from *one* alphabet, one person drew the twenty
# examples and another person the twenty to be named
# ([Science 2015](https://doi.org/10.1126/science.aab3050)). Then to see that a drawing looks
# Greek is no help, for all twenty do. *Exercise, about 12 minutes, ●●●.*

# %%
def within_alphabet(pool, generator, n_way=20):
    """One task as Lake's: characters of one alphabet, one drawing of each in each set.

    pool: `Characters`. The alphabet is any with n_way characters or more, all equally
    likely; the characters are n_way different ones of it. One of the 20 drawers
    (`pool.drawer`) made all drawings of the support, another one all of the query.
    Returns (support, query), each (images, labels) in the shapes and types of
    `pool.sample(1, 1, 1, generator, n_way)`; which character gets which label, and the
    order of the points in each set, are random. generator: the only randomness.
    """
    raise NotImplementedError


# %%
check.alphabet(within_alphabet)

# %% [markdown]
# Their 20 published tasks are in another archive, which the course does not fetch. So this
# is a test *in the style of* theirs: 50 tasks of each of the 20 evaluation alphabets. Which
# interval? Tasks of one alphabet share its characters, and the claim is about alphabets. So
# first the mean of each alphabet, then an interval over the 20.

# %%
def both(who):
    right = scores[who]["alphabet"]
    return estimate(ch08.by_alphabet(right)), estimate(right)


# %% tags=["nbval-ignore-output"]
for who in scores:
    alphabets, tasks = both(who)
    print(f"{who:16} mixed {rows[who]['20w1s']}, one alphabet {alphabets}")

# %%
for who in ("half a minute", "two minutes", "the long run"):
    alphabets, tasks = both(who)
    gap = rows[who]["20w1s"].low - alphabets.high
    claim(gap > 0.05, f"{who}: over five points below mixed alphabets.")
    claim(alphabets.half_width > 3 * tasks.half_width,
          "Its interval over alphabets: over three times as wide as over tasks.")

# %% tags=["nbval-ignore-output"]
published = {"people": 4.5, "program learning": 3.3}
published |= {"Siamese network": 8.0, "convolutional network": 13.5}
wrong = {who: estimate(1 - ch08.by_alphabet(scores[who]["alphabet"])) for who in names}
show(*ch08.errors_figure(published, wrong))

# %% [markdown]
# Who puts their `all_runs.zip` beside the two archives (data/README.md says where it is)
# sees the published tasks here, too:

# %% tags=["nbval-ignore-output"]
from mlcourse.tasks.omniglot import lake_runs

theirs = lake_runs()
if theirs:
    answered = protonet_runs.judged_pictures(protonet_runs.shipped(), theirs, 20)
    print("wrong in their 20 tasks:", estimate(1 - answered))
else:
    print("all_runs.zip is not here: their tasks were not judged.")

# %%
far_off = wrong["the long run"]
claim(0.12 < far_off.low < far_off.high < 0.22, "The long run: 12 to 22 % wrong.")

# %% [markdown]
# The long run is wrong in one or two of 100 when it has five mixed characters, in five
# when it has twenty, and in about 17 when the twenty share an alphabet. People were wrong
# in 4.5, a model that infers pen strokes in 3.3, a Siamese network in 8 and a
# convolutional network in 13.5 (the black diamonds: their tasks, their networks; our tasks
# are only of that kind). So "our network reads characters like people do", which 95 % at
# 20-way may suggest, does not follow: asked the people's kind of question, it is wrong far
# more often. Others found the same gap with a Siamese network: errors of 10.7 % mixed and 24.2 %
# within alphabets ([omniglot-eval](https://github.com/jvlmdr/omniglot-eval)).

# %% [markdown]
# ## 7 · Inside
# *9 minutes*
#
# What do 64 numbers know of an alphabet? We take Angelic, the first of the 20 by name, and
# ask which of its characters the long run takes for one another.

# %%
def of_alphabet(name, who="long run"):
    own = unknown.alphabet == unknown.alphabets.index(name)
    return features[who][own], large.images[own]


name = unknown.alphabets[0]
z, drawings = of_alphabet(name)

# %% [markdown]
# Let each drawing meet the means of all characters. The mean of its own must be made without
# it: a drawing that helped to make its prototype is nearer to it without any learning.
# *Exercise, about 10 minutes, ●●○.*

# %%
def leave_one_out(features, labels, n_way):
    """Each point's squared distances to class means made without it, (points, n_way).

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1 in any order,
    each at least twice, not equally often. The mean of a point's own class leaves the
    point out; the other means do not know it anyway.
    """
    raise NotImplementedError


# %%
check.one_out(leave_one_out)

# %% [markdown]
# First the map: the two axes along which the features vary most. Each small picture is the
# drawing nearest to its character's mean, and in colour are the two characters that are
# mixed up most. Below them, pair by pair, five drawings of each.

# %%
counts = ch08.mistaken(ch08.left_out(z))
pairs = ch08.worst_pairs(counts)

# %% tags=["nbval-ignore-output"]
show(*ch08.map_figure(z, drawings, pairs[0][:2]))

# %% tags=["nbval-ignore-output"]
show(*ch08.pairs_figure(drawings, pairs))

# %%
one, other, times = pairs[0]
claim(13 <= times <= 27, "One pair: 13 to 27 of 40, as a coin would.", data=real)
claim(pairs[1][2] < 6, "Any other pair: under 6 of 40.", data=real)
errors = int(counts.sum() - counts.diagonal().sum())
claim(errors < 0.12 * counts.sum(), "Over 88 % of Angelic are right.", data=real)
claim(times > errors / 2, "That pair makes more than half of the errors.", data=real)

# %% [markdown]
# With 19 drawings in each mean, more than 88 % of this alphabet are right, and more than
# half of the errors are one pair: two posts under a beam with a circle at each end. Can you
# tell its rows apart? We cannot, and the network does as well as a coin. In the second pair
# a beam is bent, and that it sees. So not every error is the network's fault. Would people
# make the others too? We have no such data; the game of section 8 will show you your own.

# %% [markdown]
# The map keeps only two of 64 directions, so its distances are not the network's. Without
# a map: take a prototype, made from five drawings, and look up the 15
# drawings nearest to it among all others of the 659 characters. How many are its own?

# %%
near = ch08.neighbours(features["long run"])
own = torch.arange(len(unknown))[:, None]
share = {
    who: estimate((ch08.neighbours(z) // 20 == own).double().mean(1))
    for who, z in features.items()
}

# %% tags=["nbval-ignore-output"]
print({who: str(e) for who, e in share.items()})
show(*ch08.neighbours_figure(large.images, near, [0, 100, 200, 300]))

# %%
claim(share["long run"].low > 0.65, "The long run: over 65 % are its own.", data=real)
plain = max(share["untrained"].high, share["pixels"].high)
claim(plain < 0.12, "Untrained, pixels: under 12 %.", data=real)

# %% [markdown]
# (Four characters, every hundredth. Orange frames: another character.) This is a harder
# question than 20 ways, with 659 candidates, and where it goes wrong one can often see why.

# %% [markdown]
# ## 8 · Draw your own
# *8 minutes*
#
# Nothing in the network knows how many classes there are, or which. So give it yours. Draw
# a character in each column and a query on the left, with mouse, finger or pen. What you
# draw is moved to the middle and made as large as Omniglot's drawings are (the box switches
# that off), inked with a pen of Omniglot's width, and shrunk to 28 × 28 as they are. A cell
# that you leave alone keeps a drawing from the evaluation alphabets.
#
# What would you expect of a query that is none of your characters? Try it.

# %% tags=["nbval-ignore-output"]
from mlcourse.labs import pad

best = protonet_runs.shipped()  # the long run's
pad.pad_lab(best, large)

# %% [markdown]
# And now against it: the same questions for you, for the nearest drawing in pixels and for
# the network. New characters every time; the tally keeps an interval for each of the
# three.

# %% tags=["nbval-ignore-output"]
pad.rival_game(best, large)

# %% [markdown]
# ## 9 · What goes wrong (optional)
# *8 minutes*
#
# **The loss on the support.** One often reads that training pulls the support drawings
# towards their prototypes. With one shot each drawing *is* its prototype, at distance zero
# before the first step. Sixty short steps with the twelve lines, once as they are and once
# with the support in the place of the queries:

# %%
def after_training(on_support, steps=60):
    net, generator = protonet_runs.BASE.net(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    for _ in range(steps):
        support, query = episode(pool, 20, generator)
        step(net, optimizer, support, support if on_support else query, 20)
    z = protonet_runs.embedded(net, unknown)
    return protonet_runs.judged(protonet_runs.tasks(z, 5, 1), 5)


# %%
with all_cores():
    usual, idle = after_training(False), after_training(True)

# %% tags=["nbval-ignore-output"]
print("queries:", estimate(usual), "support:", estimate(idle))
print("no training:", born["untrained"])

# %%
claim(estimate(usual).low > 0.65, "Queries: over 65 %.", data=real)
gain = paired_difference(idle, before["untrained"]["5w1s"])
claim(abs(gain.mean) < 0.05, "Support: within five points of no training.", data=real)
support, _ = episode(pool, 20, generator)
with torch.no_grad():
    nothing = loss_of(protonet_runs.BASE.net(), support, support, 20)
claim(nothing < 1e-3, "The loss on the support, never trained: under 0.001.")

# %% [markdown]
# A loss of zero, and nothing was learned: to tell drawings apart is easy, and to see that
# two of them are one character is what only a query asks for.
#
# **A query in its own prototype.** The class mean of section 7 without leaving the drawing
# out, over all 20 alphabets, 20 drawings a mean:

# %%
def right_of_alphabet(z, leave_out):
    far = ch08.left_out(z) if leave_out else protonet.squared(z, z.mean(1))
    return float(ch08.mistaken(far).diagonal().sum() / (20 * len(z)))


leak = {
    left: torch.tensor([right_of_alphabet(of_alphabet(name)[0], left)
                        for name in unknown.alphabets])
    for left in (True, False)
}
gain = paired_difference(leak[False], leak[True])

# %% tags=["nbval-ignore-output"]
print(f"without it {estimate(leak[True])}, with it {estimate(leak[False])}")

# %%
claim(gain.low > 0.01, "One drawing in twenty: over one point too good.", data=real)
far = protonet.squared(features["pixels"][:20, 0], features["pixels"][:20, 0])
claim((far.argmin(1) == torch.arange(20)).all(), "One in one, even in pixels: 100 %.")

# %% [markdown]
# **Batch norm in training mode.** Chapter 06 lost and won points with it. Somebody forgets
# `net.eval()` here, and each task of 30 drawings is normalised by itself:

# %%
import copy

forgetful = copy.deepcopy(protonet_runs.shipped("base")).train()
tasks = unknown.sample(200, 1, 5, torch.Generator().manual_seed(1))


def judged(net):
    with torch.no_grad():
        z = [net(torch.cat(x)) for x in zip(tasks.support.x, tasks.query.x)]
    s, q = torch.stack(z).split([5, 25], 1)
    said = protonet_runs.answers(Points(s, tasks.support.y), q, 5).argmax(-1)
    return (said == tasks.query.y).double().mean(1)


# %%
change = paired_difference(judged(forgetful), judged(protonet_runs.shipped("base")))

# %% tags=["nbval-ignore-output"]
print(f"training mode − evaluation mode: {change}")

# %%
claim(abs(change.mean) < 0.01, "Less than a point either way.", data=real)

# %% [markdown]
# Half a point, if that. This network's batches held 180 drawings of 60 characters, so it
# could hardly learn to lean on the batch. It remains a fault (a lone query would have
# nothing to be normalised with), and one that a test of accuracy hardly shows.
#
# **A stray `squeeze()`.** One query a class, as in the issue of chapter 06: five answers
# as (5, 1) against five labels, and the network may say what it likes.

# %%
single = protonet_runs.tasks(features["long run"], 5, 1, n_query=1)
said = protonet_runs.answers(single.support, single.query.x, 5).argmax(-1)
honest = (said == single.query.y).double().mean()
stray = (said[:, :, None] == single.query.y[:, None]).double().mean((1, 2))
claim(honest > 0.95, "Counted as it should be: over 95 %.", data=real)
claim((stray == 0.2).all(), "With the stray one: exactly 20 % in every task.")

# %% [markdown]
# **Somebody else's default.** The paper's program trains with five shots unless told
# otherwise. A user who tested it with one shot reported 94.9 % at 20 ways, where the
# paper has 96.0 for one-shot training and 94.7 for five-shot training
# ([issue 2](https://github.com/jakesnell/prototypical-networks/issues/2)).

# %% [markdown]
# ## 10 · How the recipe was chosen (optional)
# *3 minutes*
#
# On six validation alphabets, one training for each row, all with about half a minute of
# two slow cores, so that smaller steps were more steps:
#
# | ways | queries | filters | rate | 5-way 1-shot | 20-way 1-shot |
# |---|---|---|---|---|---|
# | 60 | 5 | 64 | 0.003 | 94.2 | 80.5 |
# | 60 | 5 | 64 | 0.01 | 94.6 | 82.1 |
# | 60 | 5 | 32 | 0.003 | 94.2 | 80.3 |
# | 60 | 5 | 32 | 0.01 | 95.6 | 84.4 |
# | 60 | 5 | 24 | 0.01 | 95.4 | 84.2 |
# | 20 | 5 | 32 | 0.01 | 95.9 | 84.8 |
# | 120 | 2 | 32 | 0.01 | 95.7 | 85.0 |
# | **60** | **2** | **32** | **0.01** | **96.6** | **87.1** |
# | 60 | 1 | 32 | 0.01 | 96.4 | 86.9 |
# | 60 | 2 | 32 | 0.02 | 96.7 | 87.7 |
# | 60 | 2 | 48 | 0.01 | 96.5 | 86.8 |
#
# The first row has the paper's ways, queries and filters. Intervals are about ± 0.5 at
# 5-way 1-shot: the last four rows are one group. When time is short, many small episodes
# beat few large ones. That is a statement about half a minute, and not about the method.

# %% [markdown]
# ## 11 · Negative control
# *2 minutes*
#
# Shuffle the labels of the support drawings. Whatever stays above chance would be a leak.

# %%
fair = protonet_runs.tasks(features["long run"], 5, 1)
order = torch.rand(fair.support.y.shape, generator=generator).argsort(1)
mixed = fair._replace(support=Points(fair.support.x, fair.support.y.gather(1, order)))
control = estimate(protonet_runs.judged(mixed, 5))
claim(abs(control.mean - 0.2) < 0.02, "Shuffled labels: chance, to two points.")

# %% [markdown]
# ## What you have shown
#
# Twelve lines and half a minute give features in which characters of alphabets that nobody
# trained on lie apart, and a new character costs one mean. Most of the rest is about
# counting: untrained features name half of five characters, mixed alphabets make twenty
# characters look easy, and an interval over tasks is not one over alphabets.

# %% tags=["nbval-ignore-output"]
from mlcourse import claims

print(ch08.table_text(rows))
print(claims.tally())

# %% [markdown]
# Three questions. A paper reports 20-way one-shot accuracy: which three things do you ask
# before you compare? Why can a network that was never trained name half of the drawings?
# What did training the 64 numbers cost, and what does a new character cost afterwards?
#
# To read: *Prototypical Networks for Few-shot Learning*
# ([Snell and others 2017](https://arxiv.org/abs/1703.05175)), and what became of the
# question of people and machines after three years:
# [Lake and others 2019](https://arxiv.org/abs/1902.03477).
#
# Next: [09 · Sine waves, the metric way](09_sine_waves_the_metric_way.ipynb).
