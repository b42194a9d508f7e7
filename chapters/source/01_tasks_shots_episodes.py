# %% [markdown]
# # 01 · Tasks, shots, episodes
#
# **By the end you will have shown that one label per class is enough to beat chance,
# and that an accuracy without an interval is a rumour.**
#
# About 65 minutes, and 50 more if you solve all five exercises; the section marked
# *optional* takes another 5. For a 40-minute lecture take sections 1, 3, 4 and 6.

# %%
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = ""
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import start

course = start("01", characters=True)

# %% [markdown]
# ## 1 · A game
# *8 minutes*
#
# You see a drawing of a character, and five more by other people. One of the five is the
# same character. Which? They come from alphabets that you have probably never learned.
# Two others play with you on the same questions: a program that compares pixels, and
# chance.
#
# First a guess about the program. It takes the candidate whose pixels are nearest to the
# question's: it subtracts the two pictures, squares, adds up, and picks the smallest sum.
# This is **1-nearest neighbour**, 1-NN. It knows nothing about strokes, slant or size,
# and it does not learn. How often is it right?

# %%
from mlcourse.labs.predict import guess, predict

predict("pixels", "How many of 100 will pixels get right?", 0, 100, 1, 50, " %")

# %% [markdown]
# Play ten rounds; the numbers are buttons, and Tab and Enter work too. Watch the bars on
# the right more than the dots. A bar holds every true skill that is compatible with the
# score so far: a **95 % interval**, which starts as wide as it can be and shrinks slowly.
# Section 6 builds one. All three players meet the same questions, so nobody gets easier
# ones, and their order is fixed: a class in a lecture room and you at home play the same
# game.

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import Game

game = Game(course.characters.evaluation)
game

# %% [markdown]
# After ten rounds you are probably far ahead of the pixels, and the bar of the pixels
# still contains 20 %. Ten questions cannot tell them from chance. So let the program play
# 600 rounds without you. Now each round asks five questions about each of its five
# characters, 25 in all. Your guess and your score are drawn beside it.

# %%
import torch

from mlcourse.evaluation import accuracy, estimate
from mlcourse.labs import ch01

generator = torch.Generator().manual_seed(0)
characters = course.characters.evaluation
episodes = characters.sample(600, 1, 5, generator)
pixels = estimate(accuracy(ch01.nearest(episodes), episodes.query.y))

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import reveal
from mlcourse.pictures import show

show(*reveal(pixels, guess("pixels"), game))

# %%
from mlcourse.claims import claim

claim(pixels.low > 0.20, "One label per class, and pixels alone beat chance.")
claim(0.38 < pixels.mean < 0.47, "1-NN on pixels: 38 to 47 %.", data=course.characters)
claim(pixels.half_width < 0.012, "600 episodes pin it down to about one point.")

# %% [markdown]
# That is the **baseline** of this course on characters: no learning, no network, one
# example per class. It is right about twice as often as chance and wrong more often than
# right. Compare it with your own bar. The rest of the course is about that gap.

# %% [markdown]
# ## 2 · A task is one draw from a family
# *7 minutes*
#
# A **task** is a small learning problem: a few examples to learn from and some to be
# judged on. One task teaches nobody how to learn. A *family* of tasks does: whatever its
# members share need not be learned again for each of them. Learning to learn means to
# practise on some tasks of a family and to be judged on **new** ones.
#
# A small and useful family is made of sine waves: amplitude from 0.1 to 5, phase from 0
# to π, points between −5 and 5. Each wave is a task; you get K points of it. It is the
# family on which MAML was first shown.

# %%
from mlcourse.tasks import SineTasks

sines = SineTasks()
tasks = sines.sample(n_tasks=1000, k_shot=5, n_query=50, generator=generator)
tasks.support.x.shape, tasks.query.y.shape

# %% [markdown]
# The first number is always the task, then the point, then its one coordinate. Now look
# at the whole family at once: a thousand waves, drawn faintly over each other, and their
# mean at each x.

# %%
from mlcourse.pictures import COLOR, figure

x = torch.linspace(-5, 5, 201, dtype=torch.float64)
amplitude, phase = (v.flatten(1) for v in sines.waves(1000, generator))
waves = amplitude * torch.sin(x - phase)
mean_wave = waves.mean(0)

# %%
fig = figure(7, 2.6)
axes = fig.subplots()
axes.plot(x, waves.T, color=COLOR["before"], alpha=0.03, lw=1)
axes.plot(x, mean_wave, color=COLOR["after"], label="mean of 1000 waves")
theory = -5.1 / torch.pi * torch.cos(x)
axes.plot(x, theory, ":", color=COLOR["truth"], label="−(5.1/π) cos x")
axes.set(xlabel="x", ylabel="y", ylim=(-5.5, 5.5))
axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
height = mean_wave.abs().max()
show(fig, f"1000 sine waves fill a band; their mean is a wave of height {height:.1f}.")

# %% [markdown]
# The mean is not flat. Phases fill only half a circle, so the waves do not cancel: the
# average of the family is −(5.1/π) cos x. Remember this curve. It has the smallest mean
# squared error that a single function can have on this family, so it is what training
# approaches when one network sees all tasks at once and is never told which is which. Is
# it of use for a single wave?

# %%
gap = (mean_wave - theory).abs().max()
claim(gap < 0.3, "The mean of 1000 waves is −(5.1/π) cos x to within 0.3.")
off = ((waves - mean_wave) ** 2).mean(1)
k = off.argmin()
print(f"nearest wave: amplitude {amplitude[k, 0]:.2f}, phase {phase[k, 0]:.2f}")
claim(off[k] < 0.1, "It is close to one of the waves …")
share = (off > 1).double().mean()
claim(share > 0.6, "… and for most its mean squared error is above 1.")

# %% [markdown]
# The average answer is a fair answer to one task and a poor one to most, and nothing in
# it says in which direction to go for *this* task. What is needed is not an answer but a
# way to find one.
#
# Here is such a way. Every wave is A cos φ times sin x minus A sin φ times cos x: two
# unknown numbers, so two points determine them. A learner that *knows the family* needs
# two points. How many does a network need that does not know it? The next chapters
# measure it. Knowledge of the family is what meta-learning is after.

# %%
basis = torch.cat([torch.sin(tasks.support.x), torch.cos(tasks.support.x)], -1)
two = torch.linalg.lstsq(basis[:, :2], tasks.support.y[:, :2]).solution
query_basis = torch.cat([torch.sin(tasks.query.x), torch.cos(tasks.query.x)], -1)
error = ((query_basis @ two - tasks.query.y) ** 2).mean((1, 2)).max()
claim(error < 1e-12, "With the family known, two points solve all 1000 tasks.")

# %% [markdown]
# ## 3 · Alphabets, characters, drawers
# *5 minutes*
#
# The second family is made of handwriting. **Omniglot** holds 1623 characters of 50
# alphabets, each drawn once by 20 people (Lake, Salakhutdinov and Tenenbaum,
# [Science 2015](https://doi.org/10.1126/science.aab3050); MIT licence). Its authors put
# 30 alphabets into a *background* set, to practise on, and 20 into an *evaluation* set.
#
# The two sets share no character and no alphabet. This is the rule that makes few-shot
# learning honest: **classes are disjoint**. In ordinary classification the test drawings
# are new and the classes are old. Here the classes themselves are new, so a network that
# has learned 964 characters by heart has learned nothing that it can use directly.

# %%
background, evaluation = course.characters.background, course.characters.evaluation
background.images.shape, evaluation.images.shape

# %%
assert not set(background.alphabets) & set(evaluation.alphabets)
claim(len(background) == 964, "964 characters to practise on.")
claim(len(evaluation) == 659, "659 characters nobody practises on.")

# %% [markdown]
# Look at some: six characters of one evaluation alphabet, a row each, by the same ten
# people from left to right.

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import sheet_figure

first = evaluation.images[evaluation.alphabet == 0][:6, :10]
show(*sheet_figure(first, evaluation.alphabets[0]))

# %% [markdown]
# ## 4 · The episode
# *12 minutes*
#
# An **N-way K-shot episode** is one task: N classes, K labelled examples of each (the
# **support set** S), and some more drawings of the same classes to be judged on (the
# **query set** Q). A learner may do with S whatever it likes: compare, average, take
# gradient steps. The labels of Q are for the judge alone. The game you played was 5-way
# 1-shot with one query.
#
# Draw one by hand, a few lines at a time. First, which characters:

# %%
n_way, k_shot, n_query = 5, 1, 3
classes = torch.randperm(len(evaluation), generator=generator)[:n_way]
classes

# %% [markdown]
# Then, for each, an order of its 20 drawings. The first K are support, the next ones are
# query. Two slices of one permutation cannot overlap: **disjoint by construction** is
# better than checked afterwards.

# %%
order = torch.rand(n_way, 20, generator=generator).argsort(1)
drawings = evaluation.images[classes[:, None], order]
support, query = drawings[:, :k_shot], drawings[:, k_shot : k_shot + n_query]
assert support.shape == (n_way, k_shot, 28, 28)
assert query.shape == (n_way, n_query, 28, 28)

# %% [markdown]
# Last, the labels. A label is the *place* of a class in this episode's random order, 0
# to N−1, and means nothing outside it. The same character is 3 today and 0 tomorrow. If
# it were always 3, a network could learn the label by heart and ignore the support set.

# %%
support_y = torch.arange(n_way).repeat_interleave(k_shot)
query_y = torch.arange(n_way).repeat_interleave(n_query)
support_y, query_y

# %% [markdown]
# The package does the same for many tasks at once, and shuffles the points inside each
# set as well, so that no place in a batch gives a label away. All randomness comes from
# the generator you pass.

# %%
many = evaluation.sample(32, k_shot, n_query, generator, n_way)
many.support.x.shape, many.query.y.shape

# %%
again = evaluation.sample(1, 1, 3, torch.Generator().manual_seed(7))
twice = evaluation.sample(1, 1, 3, torch.Generator().manual_seed(7))
claim(torch.equal(again.query.x, twice.query.x), "One seed, one episode.")
sorted_rows = many.query.y.sort(1).values
claim((sorted_rows == query_y).all(), "In every episode each label has three queries.")

# %% [markdown]
# Your turn. Write the sampler for one episode. *Exercise, about 12 minutes, ●●○.* The
# check gives your function small pictures whose pixels say which character and which
# drawing they are. So it sees every overlap, and every **leak**: a way to know a label
# without looking at the support set.

# %%
from mlcourse.exercises.ch01 import check


def sample_episode(images, n_way, k_shot, n_query, generator):
    """One N-way K-shot episode from images, uint8 (characters, drawings, h, w).

    Returns support_x, support_y, query_x, query_y.
    x: float32 (points, 1, h, w) in [0, 1]; y: int64 (points,) in 0…n_way-1.
    Every character has k_shot support and n_query query drawings, none of them in
    both; which character gets which label is drawn anew in every episode.
    All that is random comes from generator.
    """
    raise NotImplementedError

# %%
check.sampler(sample_episode)

# %% [markdown]
# Now play with the shape of an episode. Every row is a class; × marks a query that 1-NN
# on pixels gets wrong. On the right, its accuracy over twenty episodes of this shape.
# Before you press *20-way 1-shot*, a guess: in 5-way 1-shot 1-NN is right about 42 times
# in 100. With 20 ways chance falls to a quarter of what it was. And 1-NN?

# %%
predict("twenty", "20-way 1-shot: how many of 100 are right?", 0, 100, 1, 42, " %")

# %% [markdown]
# Now the lab: find out what makes 1-NN fail. Slant? Size? Position?

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import episode_lab

episode_lab(evaluation)

# %% [markdown]
# More ways make a task harder, more shots make it easier. Both are part of an accuracy's
# meaning: "87 %" says nothing, "87 %, 5-way 1-shot" says something, and "87 ± 1 %, 5-way
# 1-shot, 600 episodes, new alphabets" says what you need to know. The number of queries
# changes nothing about the task. It only says how precisely each task is judged. Here
# are four settings with 200 episodes each.

# %%
def baseline(n_way, k_shot):
    draw = torch.Generator().manual_seed(1)
    episodes = evaluation.sample(200, k_shot, 5, draw, n_way)
    return estimate(accuracy(ch01.nearest(episodes), episodes.query.y))


table = {shape: baseline(*shape) for shape in [(5, 1), (5, 5), (20, 1), (20, 5)]}

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import settings_figure

show(*settings_figure(table, guess("twenty")))

# %%
claim(table[5, 5].low > table[5, 1].high, "Five shots beat one shot.")
claim(table[20, 1].high < table[5, 1].low, "20-way is harder than 5-way …")
ratio = table[20, 1].mean / (1 / 20), table[5, 1].mean / (1 / 5)
claim(ratio[0] > ratio[1], "… and yet further above chance, as a ratio.")

# %% [markdown]
# ## 5 · The two simplest learners
# *8 minutes*
#
# 1-nearest neighbour is what the game played against you. Here it is for one query: the
# squared distance to each support drawing, then the label of the smallest.

# %%
one = episodes.query.x[0, 0]
distances = torch.stack([((one - other) ** 2).sum() for other in episodes.support.x[0]])
label = episodes.support.y[0, distances.argmin()]
claim(label == ch01.nearest(episodes)[0, 0], "By hand or by package: one label.")

# %% [markdown]
# Write it for all queries of an episode at once. *Exercise, about 8 minutes, ●○○.*

# %%
def nearest(support_x, support_y, query_x):
    """For each query the label of the support point with the smallest squared distance.

    support_x: float32 (support, 1, h, w); support_y: int64 (support,), in any order;
    query_x: float32 (queries, 1, h, w). Returns labels, int64 (queries,).
    """
    raise NotImplementedError

# %%
check.nearest(nearest)

# %% [markdown]
# With K shots there is a second way. Average the K drawings of a class, pixel by pixel,
# into one **prototype** cₖ (here k numbers the classes), and take the nearest prototype.
# For 600 five-shot episodes at once the means are a matrix product: (600, 5, 25) times
# (600, 25, 784), divided by 5.

# %%
episodes = evaluation.sample(600, 5, 5, torch.Generator().manual_seed(2))
members = torch.nn.functional.one_hot(episodes.support.y).float()
prototypes = members.transpose(1, 2) @ episodes.support.x.flatten(2) / 5
assert prototypes.shape == (600, 5, 28 * 28)
predictions = torch.cdist(episodes.query.x.flatten(2), prototypes).argmin(-1)

# %%
from mlcourse.evaluation import paired_difference

by_mean = accuracy(predictions, episodes.query.y)
by_nearest = accuracy(ch01.nearest(episodes), episodes.query.y)
gain = paired_difference(by_mean, by_nearest)
claim(gain.low > 0.02, "The mean wins by over 2 points.", data=course.characters)

# %% [markdown]
# Both methods met the *same* 600 episodes, so the interval is one of the **paired
# difference**: what is hard for both cancels. Why does the mean win? Five people's
# wobbles average out, and what they agree on stays. Keep the nearest mean in mind. Put a
# network in front of it and you have a Prototypical Network.
#
# Write it for support drawings in any order. *Exercise, about 8 minutes, ●●○.*

# %%
def nearest_mean(support_x, support_y, query_x):
    """For each query the label whose drawings have the nearest mean (squared distance).

    support_x: float32 (support, 1, h, w); support_y: int64 (support,), in any order;
    one label may have more drawings than another. query_x: float32 (queries, 1, h, w).
    Returns labels, int64 (queries,).
    """
    raise NotImplementedError

# %%
check.shots(nearest_mean)

# %% [markdown]
# ## 6 · The interval
# *10 minutes*
#
# An accuracy over episodes is an average, and averages wobble. With a standard deviation
# s between episodes, the mean of n episodes has a standard error of s/√n, and 95 % of
# the time the truth lies within 1.96 of those. Four times the episodes, half the
# interval. *Exercise, about 8 minutes, ●○○.*

# %%
def interval(accuracies):
    """The mean over episodes and the half-width of its 95 % interval, two numbers.

    accuracies: float32 (episodes,), at least two. The half-width is 1.96 · s / √n,
    with s the standard deviation between episodes (divide by n - 1).
    """
    raise NotImplementedError

# %%
check.interval(interval)

# %% [markdown]
# Forty people repeat one experiment, each with episodes drawn from one pool of 2000. The
# "true value" is the pool's mean. Every bar is somebody's 95 % interval; a dashed black
# one misses. How many episodes does it take until you would believe a difference of one
# point?

# %% tags=["nbval-ignore-output"]
from mlcourse.labs.ch01 import interval_lab

interval_lab(evaluation)

# %% [markdown]
# Does "95 %" hold? Let twenty thousand people do it, with 30 episodes and with 600. A
# miss rate near 5 % is what the word promises.

# %%
from mlcourse.labs.ch01 import miss_rate, pixel_hits

hits = pixel_hits(evaluation)
missed = {n: miss_rate(hits, n_episodes=n, repeats=20_000) for n in (30, 600)}
claim(0.045 < missed[600] < 0.055, "600 episodes: 5 % of the intervals miss.")
claim(0.05 < missed[30] < 0.07, "30 episodes: 5 to 7 % miss.")

# %% [markdown]
# The promise is kept, a little less well with 30 episodes, where the deviation itself is
# estimated from little. So 600 episodes are a custom with a reason: one accuracy, to
# about one point. A *difference* of one point between two separate runs needs more. Their
# errors add up, so it takes twice the episodes for the same width:

# %%
deviation = hits[:, :5].mean(1).std()
needed = 2 * (1.96 * deviation / 0.01) ** 2
claim(800 < needed < 1100, "One point between separate runs: about 950 episodes each.")

# %% [markdown]
# With the *same* episodes for both methods it is usually far fewer, as in section 5.
#
# Know what the interval is about. It says how far the mean would move with *other
# episodes of the same characters*. It does not know about other alphabets, another
# training run or another choice of settings. Those need repeats of their own.

# %% [markdown]
# ## 7 · What goes wrong
# *13 minutes*
#
# Four faults from real code, each run and measured. They share one property: nothing
# crashes, and the number is wrong.
#
# **Overlap.** Support and query are drawn independently, so a query may be a support
# drawing. With five of twenty drawings in each, a quarter of them are, and 1-NN gets
# those right for free. The honest query set beside it continues the same permutation.

# %%
from mlcourse.tasks import Episode, Points

fault = torch.Generator().manual_seed(3)
classes = torch.rand(600, len(evaluation), generator=fault).topk(5).indices[..., None]
labels = torch.arange(5).repeat_interleave(5).expand(600, 25)


def points(drawings):
    return Points(evaluation.images[classes, drawings].flatten(1, 2) / 255, labels)


def order():
    return torch.rand(600, 5, 20, generator=fault).argsort(-1)


first, second = order(), order()
support, honest, careless = points(first[..., :5]), first[..., 5:10], second[..., :5]

# %%
right = [
    accuracy(ch01.nearest(Episode(support, points(query))), labels)
    for query in (careless, honest)
]
extra = paired_difference(*right)
claim(0.07 < extra.mean < 0.11, "Overlap adds 7 to 11 points.", data=course.characters)

# %% [markdown]
# **Sorted labels.** The classes of an episode are sorted before they get their labels
# (`np.unique` does it in silence). Then a high class number tends to a high label. A
# parrot that knows the numbers by heart needs no support set.

# %%
numbers = classes.squeeze(-1)
parrot = (5 * numbers / len(evaluation)).long()
sorted_labels = numbers.argsort(1).argsort(1)
permuted = torch.arange(5).expand(600, 5)
clever = estimate(accuracy(parrot, sorted_labels))
claim(clever.low > 0.48, "Sorted labels: the parrot is right in about half the cases.")
fair = estimate(accuracy(parrot, permuted))
claim(fair.low < 0.2 < fair.high, "Permuted labels: the parrot is at chance.")

# %% [markdown]
# This was found and fixed in a much-copied PyTorch implementation of MAML, where one
# user's model had 30 % before it had adapted
# ([pull request 8](https://github.com/dragen1860/MAML-Pytorch/pull/8)). A cheap guard: a
# learner that has *not* seen the support set must be at chance.
#
# **A standard deviation called an interval.** It does not shrink, so it says nothing
# about how sure you are. And a test on a few episodes says little as well: a published
# example of a well-known library tests on 32
# ([learn2learn](https://github.com/learnables/learn2learn/tree/master/examples/vision)).

# %%
each = hits[:, :5].mean(1)
few = each[: 62 * 32].view(62, 32)  # 62 experiments of 32 episodes
change = few.std(1).mean() - each.std()
claim(abs(change) < 0.005, "The deviation of 32 episodes is, on average, that of 2000.")
width = (1.96 * few.std(1) / 32**0.5).mean() / estimate(each).half_width
claim(7.5 < width < 8.5, "Their interval is, on average, 8 times as wide.")

# %% [markdown]
# **A squeeze too many.** One query a class; predictions have the shape (5, 1), and a
# `squeeze()` makes the labels (5,). The comparison broadcasts to a 5 × 5 table, and every
# model scores exactly 20 %, perfect or not. Found in the reference code of Prototypical
# Networks ([issue 33](https://github.com/jakesnell/prototypical-networks/issues/33)).

# %%
perfect = torch.arange(5).view(5, 1)
labels = perfect.squeeze()
claim((perfect == labels).double().mean() == 0.2, "Perfect predictions: exactly 20 %.")
silly = torch.zeros_like(perfect)
claim((silly == labels).double().mean() == 0.2, "Always the same prediction: 20 % too.")

# %% [markdown]
# Can you find a leak by looking at episodes only? Write a detector for two of them:
# overlap, and labels that never change. (Sorted labels do change; they are left out
# here.) *Exercise, about 15 minutes, ●●●.* The check gives it honest samplers too, and
# accusing one of those is as wrong as missing a leak.

# %%
def leaks(sample, generator):
    """Does this sampler leak? True or False.

    support_x, support_y, query_x, query_y = sample(generator) is one episode; equal
    drawings have equal pixels. It leaks when, in some episode, a query drawing is also
    a support drawing (maybe in one episode of ten only), or when no drawing ever
    changes its label from episode to episode. Drawings come up again and again: there
    are at most 160.
    """
    raise NotImplementedError

# %%
check.leak(leaks)

# %% [markdown]
# ## 8 · Negative control
# *2 minutes*
#
# A result is worth as much as the control that could have spoiled it. Shuffle the labels
# of the support sets: the drawings stay, the information goes. Whatever is left above
# chance would be a leak.

# %%
support, query = evaluation.sample(600, 1, 5, torch.Generator().manual_seed(4))
mixed = torch.rand(support.y.shape, generator=generator).argsort(1)
shuffled = Episode(Points(support.x, support.y.gather(1, mixed)), query)
control = estimate(accuracy(ch01.nearest(shuffled), query.y))
fair = control.low < 0.2 < control.high
claim(fair, "Shuffled support labels: chance, as it must be.", data=course.characters)

# %% [markdown]
# ## 9 · Rotations and splits (*optional*)
# *5 minutes*
#
# The papers turn each character by 90, 180 and 270 degrees and count each turn as a new
# class. They also put 1200 characters on the side to practise on and 423 on the other.
# MAML's paper draws them at random, irrespective of alphabet, so that most alphabets are
# on both sides: an easier test than new *alphabets*. Numbers from two splits must not be
# mixed, and in this course every table says which one it is about.

# %%
train, test = course.characters.papers_split(seed=0)
sizes = len(train), len(test)
claim(sizes == (4800, 1692), "1200 and 423 characters, four turns each.")
both = set(train.alphabet.tolist()) & set(test.alphabet.tolist())
claim(len(both) > 40, "A random split has most alphabets on both sides.")

# %% [markdown]
# ## What you have shown
#
# One label per class beats chance with no learning at all; five beat one; a mean beats a
# neighbour. Each of these is a sentence with an interval behind it, and the control is
# at chance. The numbers of this run, on the 659 evaluation characters without rotations:

# %% tags=["nbval-ignore-output"]
from mlcourse import claims

print(f"1-NN on pixels, 5-way 1-shot: {pixels} (chance 0.200)")
print(f"1-NN, 5-way 5-shot:           {estimate(by_nearest)}")
print(f"nearest mean, 5-way 5-shot:   {estimate(by_mean)}")
print(f"paired difference:            {gain}")
print(claims.tally())

# %% [markdown]
# On another split (1200 characters and their turns to practise on) the papers report, for
# 5-way 1-shot, 98.7 ± 0.4 % with MAML
# ([Finn, Abbeel and Levine 2017](https://arxiv.org/abs/1703.03400)) and 98.8 % over 1000
# episodes with a Prototypical Network
# ([Snell, Swersky and Zemel 2017](https://arxiv.org/abs/1703.05175)). Another split is
# another test: do not subtract. You will train both.
#
# Three questions, to answer without looking. Why are labels drawn anew in each episode?
# What halves an interval? Which single curve describes a thousand sine waves best, and
# why is it of little use for most of them?
#
# To read: the [Omniglot repository](https://github.com/brendenlake/omniglot), and the
# paper that set the N-way K-shot protocol
# ([Vinyals and others 2016](https://arxiv.org/abs/1606.04080)).
