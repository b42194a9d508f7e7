# %% [markdown]
# # 07 · ProtoNets, the mathematics
#
# **By the end you will have shown that the nearest class mean under a Bregman divergence is
# a linear classifier, and that shots buy off noise as 1/K.**
#
# About 75 minutes, and 45 more if you solve all seven exercises; section 10 (6 more) is
# optional.
# For a 40-minute lecture take sections 1, 3, 4, 8 and 9 (running the cells of 2 on the way).

# %%
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = ""
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import start

course = start("07", float64=True)

# %% [markdown]
# ## 1 · One against twenty
# *6 minutes*
#
# Two classes, 64 features each. The points of a class lie around its centre with noise of
# σ = 1 in every feature, and the centres are 4 apart. Whoever knew both centres would
# misname 2 of 100 points, which is the best possible.
#
# You do not know them. You have **one** example of the first class and **twenty** of the
# second. So you take each class's mean for its centre and give a new point to the nearer
# mean. That is all a **prototypical network** does after its features are computed.

# %%
from mlcourse.labs.predict import guess, predict

question = "Of 100 new points of the one-shot class, how many get the wrong name?"
predict("one_against_twenty", question, 0, 100, 1, 30)

# %% [markdown]
# Two thousand such tasks, with one new point each. Every number is drawn, and nothing but
# means and squared distances is computed.

# %%
import torch

generator = torch.Generator().manual_seed(0)


def cloud(*shape):
    return torch.randn(*shape, generator=generator)


gap = torch.zeros(64)
gap[0] = 4.0
one, twenty = cloud(2000, 64), gap + cloud(2000, 20, 64).mean(1)

# %%
def squares(points, centres):
    return ((points - centres) ** 2).sum(-1)


new = cloud(2000, 64)
own, foreign = squares(new, one), squares(new, twenty)

# %%
from mlcourse.labs import ch07
from mlcourse.pictures import show

show(*ch07.reveal(own, foreign, guess("one_against_twenty")))

# %%
from mlcourse.claims import claim
from mlcourse.evaluation import estimate, wilson

claim(abs(ch07.bayes(4.0) - 0.023) < 5e-4, "Who knows the centres: 2.3 of 100 wrong.")
low, high = wilson(int((own > foreign).sum()), 2000)
claim(low > 0.97, "Over 97 of 100 points of the one-shot class get the wrong name.")

# %%
new = gap + cloud(2000, 64)
wrong = int((squares(new, twenty) > squares(new, one)).sum())
claim(wilson(wrong, 2000)[1] < 0.01, "Of the other class under 1 of 100.")

# %% [markdown]
# Nearly all of them, and the rule looks so innocent. The picture has the reason in it: the
# queries are farther from their own prototype than from the other. In section 9 you will
# work out on paper why, and mend it with one term. First the rule itself.

# %% [markdown]
# ## 2 · The rule
# *10 minutes*
#
# Let z be the features of a drawing; in chapter 01 they were its pixels, in chapter 02 a
# trained network computed them. The **prototype** cₖ of class k is the mean of the
# features of its support points. In a prototypical network
# ([Snell and others 2017](https://arxiv.org/abs/1703.05175)) a query z gets the
# probabilities
#
# **p(k | z) = exp(−‖z − cₖ‖²) / Σⱼ exp(−‖z − cⱼ‖²)**
#
# a softmax over the classes of the *negative, squared* distances. Nothing is trained at
# test time: no steps, no α. *Exercise, about 6 minutes, ●○○:* the prototypes.

# %%
from mlcourse.exercises.ch07 import check


def prototypes(features, labels, n_way):
    """The mean of each class, (n_way, d).

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1, each at
    least once, in any order, not equally often. Gradients flow back to the features.
    """
    raise NotImplementedError


# %%
check.prototypes(prototypes)

# %% [markdown]
# *Exercise, about 8 minutes, ●●○:* the logarithms of the probabilities. Far from all
# prototypes every exp(−‖z − cₖ‖²) is 0 in floating point, so let `log_softmax` do it. Mind
# over which axis the probabilities add to one.

# %%
def log_probabilities(features, prototypes):
    """log p(class k | z), the log-softmax of −‖z − cₖ‖²: (points, n_way).

    features z: float64 (points, d); prototypes c: float64 (n_way, d). One point or
    many; some so far away that e to the −‖z − cₖ‖² is zero for a computer: their
    log-probabilities are finite. Gradients flow back to both.
    """
    raise NotImplementedError


# %%
check.probabilities(log_probabilities)

# %% [markdown]
# To try the rule we need tasks. `clouds` draws 5-way ones in 64 features, whose centres
# are about 4σ apart, as in section 1.

# %%
from mlcourse.tasks import Episode, Points


def clouds(k_shot, tasks=1000, n_way=5, n_query=5, noise=cloud):
    centres = 0.35 * cloud(tasks, n_way, 1, 64)
    features = centres + noise(tasks, n_way, k_shot + n_query, 64)
    labels = torch.arange(n_way)[:, None].expand(features.shape[:3])
    parts = slice(k_shot), slice(k_shot, None)
    x, y = ([v[:, :, part].flatten(1, 2) for part in parts] for v in (features, labels))
    return Episode(Points(x[0], y[0]), Points(x[1], y[1])), centres.squeeze(2)


# %% [markdown]
# The obvious baseline is the nearest *neighbour*, which looks for the nearest support point
# instead of the nearest mean. Both meet the same thousand 5-shot tasks. The package has the
# rule as `mlcourse.learners.protonet`, for many tasks at once.

# %%
from mlcourse.evaluation import accuracy, paired_difference
from mlcourse.learners import protonet

(support, query), centres = clouds(k_shot=5)
c = protonet.prototypes(*support, 5)
by_mean = accuracy(protonet.nearest_prototype(query.x, c), query.y)
neighbour = protonet.squared(query.x, support.x).argmin(-1)
by_point = accuracy(support.y.gather(1, neighbour), query.y)

# %%
slow = torch.stack([support.x[0][support.y[0] == k].mean(0) for k in range(5)])
claim((slow - c[0]).abs().max() < 1e-12, "Package and loop: the same prototypes.")

# %%
print(f"nearest point  {100 * by_point.mean():.0f} of 100")
print(f"nearest mean   {100 * by_mean.mean():.0f} of 100")
better = paired_difference(by_mean, by_point)
claim(better.low > 0.15, "On the same tasks the mean gains over 15 of 100.")

# %%
apart = squares(centres[:, 0], centres[:, 1]).sqrt().mean()
claim(3.8 < apart < 4.1, "Centres are about 4σ apart.")

# %% [markdown]
# With one shot the two are the same rule. With five, the mean has averaged much of the noise
# away, and the single neighbour is as noisy as ever.

# %%
(s1, q1), _ = clouds(k_shot=1)
c1 = protonet.prototypes(*s1, 5)
neighbour = s1.y.gather(1, protonet.squared(q1.x, s1.x).argmin(-1))
same = protonet.nearest_prototype(q1.x, c1) == neighbour
claim(same.all(), "One shot: nearest mean and nearest point are one rule.")

# %% [markdown]
# ## 3 · A plane of points
# *6 minutes*
#
# Two features can be looked at. Small marks are support points, large ones prototypes;
# every place has the colour of its likeliest class, paler where it is less sure. The query
# is the diamond. Move the ringed triangle, and watch the borders.
#
# The numbers under the bars are the weight w and the bias b of a linear layer, and on a
# dashed line two of its outputs w·z + b are equal. Compare them with the prototypes. How
# do w and b follow from c? Section 4 asks.

# %%
ch07.plane_lab()

# %%
start_at = {"spread": 0.6, "k_shot": 5, "x": 0.7, "y": 2.3, "temperature": 1}
paper = ch07.plane(distance="squared", **start_at)
claim(paper.otherwise == 0, "Squared: every place has its name from w·z + b.")

# %%
moved = ch07.plane(distance="squared", **{**start_at, "x": 3.9, "y": -2.9})
claim(paper.query.argmax() == 1, "The query is a square's …")
claim(moved.query.argmax() == 2, "… and a triangle's when one triangle goes far away.")

# %% [markdown]
# ## 4 · A linear classifier
# *7 minutes*
#
# The borders are straight. Why? Multiply the square out:
#
# −‖z − c‖² = −‖z‖² + …
#
# The term −‖z‖² is the same for all classes, so the softmax does not see it. What is left
# has the form w·z + b. *Exercise, about 8 minutes, ●●○:* find w and b on paper, then write
# them down. (Chapter 06 began ProtoMAML's steps with this layer. Can you do it without
# looking?)

# %%
def linear_classifier(prototypes):
    """Weight w (n_way, d) and bias b (n_way,) of the linear layer that ProtoNet is.

    prototypes c: float64 (n_way, d). The softmax of z @ w.T + b is that of
    −‖z − cₖ‖² for every z: what is the same for all classes drops out.
    """
    raise NotImplementedError


# %%
check.linear(linear_classifier)

# %% [markdown]
# w = 2c and b = −‖c‖². So the head of a prototypical network is the last layer of chapter
# 02, with weights that are *written down* from the support set, not learned. All that is
# learned is the features. Nor does the origin matter: move all features by the same vector,
# and no distance changes.

# %%
w, b = protonet.linear_classifier(c)
scores = query.x @ w.mT + b.unsqueeze(1)
off = scores.log_softmax(-1) - protonet.log_probabilities(query.x, c)
claim(off.abs().max() < 1e-10, "25 000 queries: the linear layer says the same.")

# %% [markdown]
# Chapter 06 had a relative of it. One step from a zero head gives weights proportional to
# cₖ − c̄, with c̄ the mean of all prototypes, and *no* bias −‖c‖². What c̄ adds is the same
# for all classes, so the two agree about every query when all prototypes are equally long.

# %%
head = torch.zeros(5, 64, requires_grad=True)
scores = support.x[0] @ head.T
torch.nn.functional.cross_entropy(scores, support.y[0]).backward()
off = -5 * head.grad - (c[0] - c[0].mean(0))
claim(off.abs().max() < 1e-12, "One step, α = N = 5: the weights are cₖ − c̄.")

# %%
def names(scores):
    return scores.argmax(-1)


level = torch.nn.functional.normalize(c, dim=-1)
w, b = protonet.linear_classifier(level)
same = names(query.x @ w.mT) == names(query.x @ w.mT + b.unsqueeze(1))
claim(same.all(), "Equally long prototypes: the bias changes no name.")

# %% [markdown]
# ## 5 · Why the mean?
# *10 minutes*
#
# Why not the median, or the point in the middle? It depends on the distance. Take a smooth
# and strictly convex function φ, one that curves upwards everywhere. How far is φ(z) above
# the tangent (in several features, the tangent plane) that touches φ at c?
#
# **d(z, c) = φ(z) − φ(c) − ∇φ(c)·(z − c)**
#
# This is the **Bregman divergence** of φ: never negative, 0 only at z = c, and in general
# not symmetric. *Exercise, about 8 minutes, ●●○:* write it for any φ; `torch.func.grad`
# knows the slope.

# %%
def divergence(phi, z, c):
    """The Bregman divergence of z from c, one number.

    phi: a smooth convex function of a vector, made of torch operations, that gives
    one number. z, c: float64 (d,). The answer is φ(z) minus the tangent plane of φ at
    c, taken at z. It can be differentiated with respect to z and to c.
    """
    raise NotImplementedError


# %%
check.bregman(divergence)

# %% [markdown]
# Four φ, and their divergences: the squared distance of section 2, the generalised
# Kullback–Leibler divergence of counts, the Itakura–Saito distance of spectra, and one
# without a famous name.

# %%
PHI = {
    "squared length": lambda z: (z**2).sum(),
    "z log z": lambda z: (z * z.log()).sum(),
    "−log z": lambda z: -z.log().sum(),
    "exp z": lambda z: z.exp().sum(),
}


def bregman(phi, z, c):
    return phi(z) - phi(c) - torch.func.grad(phi)(c) @ (z - c)


# %% [markdown]
# Now let go of the mean. Take seven points and *search* for the c with the smallest sum of
# divergences, by an optimiser that has never heard of means. (It moves log c, so that
# c stays positive.)

# %%
def search(total, begin):
    s = begin.log().clone().requires_grad_()
    settings = {"max_iter": 60, "tolerance_grad": 1e-14, "tolerance_change": 1e-16}
    optimizer = torch.optim.LBFGS([s], line_search_fn="strong_wolfe", **settings)

    def closure():
        optimizer.zero_grad()
        value = total(s.exp())
        value.backward()
        return value

    for _ in range(2):
        optimizer.step(closure)
    return s.detach().exp()


# %%
seven = 0.5 + torch.rand(7, 2, generator=generator)
seven[0] = torch.tensor([4.0, 1.0])  # one point far to the right
mean = seven.mean(0)
for name, phi in PHI.items():
    found = search(lambda c: sum(bregman(phi, z, c) for z in seven), seven[1])
    claim((found - mean).abs().max() < 1e-8, f"{name}: the best centre is the mean.")

# %% [markdown]
# It is the mean for every φ, and here is why. Write m for the mean of the n points and sum
# the definition. The slope at m multiplies Σ (zᵢ − m) = 0, the slope at c multiplies
# Σ (zᵢ − c) = n (m − c), and what is left is
#
# Σ d(zᵢ, c) = Σ d(zᵢ, m) + n · d(m, c).
#
# The first sum does not depend on c. The last term is never negative, and zero at c = m.

# %%
for name, phi in PHI.items():
    to_c, to_mean = (sum(bregman(phi, z, x) for z in seven) for x in (seven[3], mean))
    rest = to_c - to_mean - 7 * bregman(phi, mean, seven[3])
    claim(rest.abs() < 1e-12 * to_c, f"{name}: the sums differ by n·d(m, c).")

# %% [markdown]
# And the classifier? In −d(z, c) the term −φ(z) is again the same for all classes. What
# remains is linear in z, for every φ: w = ∇φ(c) and b = φ(c) − ∇φ(c)·c. With
# φ = ‖z‖² these are w = 2c and b = −‖c‖².

# %%
for name, phi in PHI.items():
    slopes = [torch.func.grad(phi)(x) for x in seven[1:4]]
    line = [s @ mean + phi(x) - s @ x for s, x in zip(slopes, seven[1:4])]
    straight = [-bregman(phi, mean, x) for x in seven[1:4]]
    off = torch.stack(line).softmax(0) - torch.stack(straight).softmax(0)
    claim(off.abs().max() < 1e-12, f"{name}: a linear classifier.")

# %% [markdown]
# Two distances that are *not* Bregman divergences have other centres. Summed **unsquared**
# distances are smallest at the **geometric median**, where the unit vectors to the points
# cancel; sums of |differences| (**city block**) at the median of each coordinate. A far
# point pulls the mean the more, the farther away it is. The medians hardly notice.

# %%
unsquared = search(lambda c: (seven - c).norm(dim=1).sum(), mean)
median = seven.median(0).values
pulls = torch.nn.functional.normalize(seven - unsquared, dim=1).sum(0)
claim(pulls.norm() < 1e-6, "Unsquared: at the best centre the unit vectors cancel.")
claim((unsquared - mean).norm() > 0.2, "It is not the mean.")
blocks = [(seven - c).abs().sum() for c in (median, mean, unsquared)]
claim(blocks[0] < min(blocks[1:]), "City block: the coordinate median beats both.")

# %%
wild = seven.clone()
wild[0, 0] = 40.0  # ten times as far
again = search(lambda c: (wild - c).norm(dim=1).sum(), mean)
claim((wild.mean(0) - mean).norm() > 5, "Ten times as far: the mean moves by over 5, …")
claim((again - unsquared).norm() < 0.1, "… the geometric median by under 0.1, …")
claim((wild.median(0).values == median).all(), "… the coordinate median not at all.")

# %%
found = {"mean": mean, "geometric median": unsquared, "coordinate median": median}
show(*ch07.centres_figure(seven, found))

# %% [markdown]
# ## 6 · A mixture in disguise
# *7 minutes*
#
# Where does the softmax come from? Suppose a class is a normal cloud around its centre μₖ
# with variance σ² in every feature, and all classes are equally frequent. Bayes' rule then
# gives p(k | z) ∝ exp(−‖z − μₖ‖² / 2σ²): the softmax of section 2 with the distances
# divided by a **temperature** T = 2σ². Who writes no T has chosen T = 1, that is σ² = ½.
# (In the lab of section 3, *cold* and *hot* change T. Names stay, certainty does not.)

# %%
from torch.distributions import Normal, Poisson

z = query.x[0]
at = centres[0]
bayes = Normal(at, 1.0).log_prob(z[:, None]).sum(-1).log_softmax(-1)
ours = protonet.log_probabilities(z, at, temperature=2.0)
claim((bayes - ours).abs().max() < 1e-10, "T = 2σ²: the softmax is Bayes' rule.")

# %% [markdown]
# Other divergences belong to other clouds. For counts with Poisson noise it is z log z:

# %%
counts = torch.poisson(10 * seven, generator)
bayes = Poisson(10 * seven).log_prob(counts[:, None]).sum(-1).log_softmax(-1)
away = [[bregman(PHI["z log z"], n + 1e-12, 10 * x) for x in seven] for n in counts]
ours = (-torch.tensor(away)).log_softmax(-1)
claim((bayes - ours).abs().max() < 1e-8, "Counts: the softmax of −d is Bayes' rule.")

# %% [markdown]
# Probabilities are **calibrated** when, among answers given with 80 %, 80 % are right, and
# so on for every other number. Over all answers the mean of the largest probability must
# then equal the accuracy, and that is quickly looked up. Our clouds have σ = 1, so T should
# be 2. Is it?

# %%
def overconfidence(prototypes, query, temperature):
    said = protonet.log_probabilities(query.x, prototypes, temperature=temperature)
    sure = said.exp().max(-1).values.mean(1)
    return paired_difference(sure, accuracy(said.argmax(-1), query.y))


exact, default = (overconfidence(centres, query, T) for T in (2.0, 1.0))
off = max(-exact.low, exact.high)
claim(off < 0.01, "True centres, T = 2σ²: as sure as right, within 1 point.")
claim(default.low > 0.03, "True centres, T = 1: over 3 points too sure.")

# %%
five = overconfidence(c, query, 2.0)
(s20, q20), _ = clouds(k_shot=20)
many = overconfidence(protonet.prototypes(*s20, 5), q20, 2.0)
claim(five.low > 0.15, "Means of five points, T = 2σ²: over 15 points too sure.")
claim(0.03 < many.low < many.high < five.low, "Of twenty: over 3, but fewer.")

# %%
apart = [squares(x[:, 0], x[:, 1]).mean() for x in (c, centres)]
claim(20 < apart[0] - apart[1] < 30, "Prototypes are too far apart: 20 to 30, squared.")
wide = overconfidence(c, query, 6.0)
claim(max(-wide.low, wide.high) < 0.02, "Means of five, T = 6: within 2 points again.")

# %% [markdown]
# So at T = 2σ² the probabilities mean what they say for true centres only. Noise in the
# prototypes makes classes look farther apart than they are, and a larger T, here three
# times as large, makes up for it. A network that is trained with T = 1 can find it by
# itself: it learns the *scale* of its features, and scaling z by s is the same as dividing
# T by s².

# %%
scaled = protonet.log_probabilities(3 * query.x, 3 * c, temperature=9.0)
off = scaled - protonet.log_probabilities(query.x, c)
claim(off.abs().max() < 1e-10, "Features times 3 and T times 9 cancel.")

# %% [markdown]
# ## 7 · Other distances
# *10 minutes*
#
# Go back to the lab of section 3 once more and press *unsquared*, *city block* and
# *cosine*. What stays, what goes?
#
# **Unsquared.** A root changes no order, so the nearest prototype is the same one. The
# probabilities are not, and neither is what training sees. With the squared distance, the
# gradient of the loss with respect to the query is
#
# 2 (Σ pₖ cₖ − c of its class),
#
# where z is left in the pₖ only: the farther apart the prototypes, the longer it can be.
# Unsquared, it is a sum of unit vectors, weighted by the errors of the probabilities, and
# never longer than 2.

# %%
def pull(c, z, distance):
    def loss(z):  # class 0 is right
        return -protonet.log_probabilities(z[None], c, distance)[0, 0]

    return torch.func.grad(loss)(z)


# %%
c2, z2 = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([3.0, 1.0])
print("features ×   squared  unsquared")
for scale in (1.0, 10.0, 100.0):
    both = (pull(scale * c2, scale * z2, how) for how in ch07.SQUARED_AND_NOT)
    row = [float(found.norm()) for found in both]
    print(f"{scale:10.0f}  {row[0]:8.2f}  {row[1]:9.2f}")
    claim(row[1] <= 2 < row[0], f"× {scale:.0f}: unsquared at most 2, squared more.")

# %%
p = protonet.log_probabilities(z2[None], c2)[0].exp()
off = pull(c2, z2, protonet.squared) - 2 * (p @ c2 - c2[0])
claim(off.abs().max() < 1e-12, "The formula is the gradient.")

# %% [markdown]
# This query is on the wrong side. Squared, its pull grows with the features; unsquared, it
# stays below 2. So a single wild point cannot pull hard, and neither can a bad mistake.
#
# **City block** has other winners. On the plane of section 3 we can count them. In 64
# features, whether that is better depends on the noise. For normal noise the squared
# distance is right, as section 6 says. For Laplace noise, whose density is
# exp(−|z − μ|/b)/2b, the city block is.

# %%
def laplace(*shape):
    u = torch.rand(*shape, generator=generator) - 0.5
    return -(0.5**0.5) * u.sign() * (-2 * u.abs()).log1p()  # variance 1, as before


def gain(distance, support, query, shift=0.0):
    c = protonet.prototypes(support.x + shift, support.y, 5)
    both = (
        protonet.nearest_prototype(query.x + shift, c, how)
        for how in (distance, protonet.squared)
    )
    return paired_difference(*(accuracy(said, query.y) for said in both))


# %%
block = ch07.plane(distance="city block", **start_at)
print(f"city block: {100 * block.otherwise:.1f} % of the plane has another name")
normal = gain(protonet.city_block, support, query)
heavy = gain(protonet.city_block, *clouds(5, noise=laplace)[0])
claim(normal.high < -0.03, "Normal noise: city block loses over 3 of 100 …")
claim(heavy.low > 0.03, "… and with Laplace noise it gains over 3.")

# %% [markdown]
# A distance is a statement about noise.
#
# **Cosine** forgets how long a vector is and keeps its direction. It has no −‖c‖², is no
# Bregman divergence, and at T = 1 it cannot be sure: with five classes no probability
# exceeds e²/(e² + 4) = 0.649. (With one shot and cosine, **matching networks**, in which
# every support point votes for its class, the softmax of its cosine being its weight, are
# the same rule.) What about its winners?

# %%
from mlcourse.learners import matching

sure = torch.tensor([2.0, 0, 0, 0, 0]).softmax(0)[0]
claim(abs(sure - 0.649) < 5e-4, "Five classes, T = 1: cosine says at most 0.649.")

# %%
votes = matching.log_probabilities(q1.x, *s1, 5)
off = votes - protonet.log_probabilities(q1.x, c1, protonet.cosine)
claim(off.abs().max() < 1e-12, "One shot: matching networks say the same.")

# %%
cosine_1, cosine_20 = (gain(protonet.cosine, *some) for some in ((s1, q1), (s20, q20)))
far = gain(protonet.cosine, s1, q1, shift=10.0)
claim(cosine_1.low > 0.02, "One shot: cosine gains over 2 of 100.")
for found, words in ((cosine_20, "Twenty shots"), (far, "One shot, features + 10")):
    claim(max(-found.low, found.high) < 0.01, f"{words}: less than 1 either way.")

# %% [markdown]
# Why? The length of a one-shot prototype is mostly noise, and −‖c‖² carries it into every
# score. Cosine drops it, as long as the origin lies in the middle of the classes: far away
# from it the gain is gone. A network may put the origin where it likes. On images the paper
# found cosine worse (Snell and others, table 5, miniImageNet), and chapter 08 measures it
# on characters.

# %%
length, signal = ((v**2).sum(-1).mean() for v in (c1, centres))
claim(signal < 0.15 * length, "One shot: over 0.85 of ‖c‖² is noise, on average.")

# %% [markdown]
# ## 8 · What a shot buys
# *10 minutes*
#
# How far is a prototype from the true centre μ? Each of the d features of a point has noise
# of variance σ². *Exercise, about 4 minutes, ●○○:* the mean of ‖c − μ‖².

# %%
def expected_error(d, sigma, k_shot):
    """The mean of ‖c − μ‖², when c is the mean of k_shot points about μ; one number.

    Each of the d features of a point is that of μ plus normal noise of standard
    deviation sigma, all independent.
    """
    raise NotImplementedError


# %%
check.noise(expected_error)

# %%
for k_shot in (1, 5, 20):
    means = cloud(4000, k_shot, 64).mean(1)
    found = estimate((means**2).sum(-1))
    close = abs(found.mean - 64 / k_shot) < 2 * found.half_width
    claim(close, f"K = {k_shot}: {64 / k_shot:g}, and the simulation agrees.")

# %% [markdown]
# And how many names are wrong? Take two classes, K shots each, Δ between the centres. Let u
# be c₁ − c₂, a normal vector around δ, the difference of the centres, with variance 2σ²/K
# in every feature. A query of class 1 falls on the wrong side when u·v < 0, where v is the
# query seen from the middle of the prototypes: around δ/2, with variance σ²(1 + 1/2K). The
# two are independent. So, given u, the error is a value of Φ, the normal distribution
# function, and only the mean over u, E, is left:
#
# **error = E Φ(−u·δ / (2σ √(1 + 1/2K) ‖u‖))**

# %%
def two_class_error(d, gap, k_shot, draws=4000):
    u = (2 / k_shot) ** 0.5 * cloud(draws, d)
    u[:, 0] += gap
    cosine = u[:, 0] / u.norm(dim=1)
    given_u = -gap * cosine / (2 * (1 + 1 / (2 * k_shot)) ** 0.5)
    return estimate(torch.special.ndtr(given_u))


# %% [markdown]
# Does it hold? Simulate tasks with all their points, and count. The package's
# `ch07.error` does the mean over u by a sum over a grid instead of draws.

# %%
def simulate(d, gap, k_shot):
    tasks = 200_000 // d
    shift = torch.zeros(d)
    shift[0] = gap
    own, foreign = (cloud(tasks, k_shot, d).mean(1) for _ in range(2))
    query = cloud(tasks, d)
    return estimate((squares(query, own) > squares(query, shift + foreign)).double())


# %%
counted = {d: {k: simulate(d, 3.0, k) for k in (1, 2, 5, 10, 20)} for d in (2, 64)}
off = []  # in half widths of the 95 % interval
for d, row in counted.items():
    for k, found in row.items():
        exact = float(ch07.error(d, 3.0, k, k))
        for one in (found, two_class_error(d, 3.0, k)):
            off.append(abs(one.mean - exact) / one.half_width)
claim(max(off) < 2, "Ten settings: simulation, draws and grid agree.")

# %%
print("errors in %, Δ = 3σ;  K =   1     2     5    10    20   100")
for d in (2, 64):
    row = [100 * float(ch07.error(d, 3.0, k, k)) for k in (1, 2, 5, 10, 20, 100)]
    print(f"{d:3} features         ", "".join(f"{value:6.1f}" for value in row))
print(f"who knows the centres: {100 * ch07.bayes(3.0):.1f}")

# %% [markdown]
# The same gap, the same best possible error, and a very different price. In two features
# five shots come within 1.5 points of the best. In 64 the noise of all features adds up in
# ‖u‖, and shots are what buys it off. For large K the error above the best is
# Φ′(Δ/2σ) (Δ/2σ) (¼ + (d − 1) σ²/Δ²) / K, where Φ′ is the normal density: proportional to
# **1/K**.

# %%
def excess(d, k_shot, gap=3.0):
    return float(ch07.error(d, gap, k_shot, k_shot)) - ch07.bayes(gap)


claim(excess(2, 5) < 0.015, "Two features, five shots: within 1.5 points of the best.")
claim(excess(64, 5) > 0.15, "64 features, five shots: over 15 points above it.")

# %%
density = Normal(0.0, 1.0).log_prob(torch.tensor(1.5)).exp()
for d in (2, 64):
    theory = density * 1.5 * (1 / 4 + (d - 1) / 9)
    claim(abs(1000 * excess(d, 1000) / theory - 1) < 0.01, f"d = {d}: 1/K, as it says.")
claim(10 * excess(64, 10) < 0.8 * 1000 * excess(64, 1000), "d = 64, K = 10: not yet.")

# %%
show(*ch07.excess_figure(counted, 3.0))

# %% [markdown]
# Two cautions. Under 1/K, doubling K brings half of what the doubling before brought, and in
# the picture the line of 64 features is not there yet at the K that people use. And real
# features need not be round clouds, all alike. A published ProtoNet on CIFAR-100 is right in
# 44.3, 52.1, 57.6, 62.6 and 66.5 of 100 for K = 2, 4, 8, 16, 32 ([UvA course, tutorial
# 16](https://github.com/phlippe/uvadlc_notebooks)). How fast do its gains shrink, and those of
# our clouds?

# %%
cifar = torch.tensor([44.30, 52.07, 57.59, 62.56, 66.49])
shots = torch.tensor([2, 4, 8, 16, 32])
ours = -ch07.error(64, 3.0, shots, shots)


def ratios(right):
    gains = right.diff()
    return gains[1:] / gains[:-1]


# %%
for name, right in (("CIFAR-100", cifar), ("64 features", ours)):
    print(f"{name:12} ", "  ".join(f"{ratio:.2f}" for ratio in ratios(right)))
    claim(ratios(right).min() > 0.55, f"{name}: each gain over 0.55 of the one before.")
claim((ratios(ours).diff() < 0).all(), "64 features: the ratios fall every time.")
claim((ratios(cifar).diff() > 0).any(), "CIFAR-100: they do not.")

# %% [markdown]
# Both are slower than 1/K. The clouds come nearer to one half with every doubling. The
# three ratios of CIFAR show no such order, but they are few, come from one network, and
# have no intervals.

# %% [markdown]
# ## 9 · Unequal shots
# *7 minutes*
#
# Back to section 1. How far is a query from a prototype? Its own noise counts, the
# prototype's, and the gap between the centres when the class is another one. *Exercise,
# about 6 minutes, ●●○:* the mean of ‖z − c‖².

# %%
def expected_distance(d, sigma, k_shot, gap):
    """The mean of ‖z − c‖² of a new point z and a prototype c, one number.

    c is the mean of k_shot points of one class, z is not among them. The centres of
    the class of z and of that of c are `gap` apart: 0 when it is the same class.
    Every feature of every point has independent normal noise, standard deviation sigma.
    """
    raise NotImplementedError


# %%
check.distance(expected_distance)

# %% [markdown]
# It is dσ² (1 + 1/K) plus the squared gap. For the one-shot class that is 128 to its own
# prototype, with K = 1, and 67.2 + 16 = 83.2 to the other, with K = 20. The own prototype is
# *farther away* than the foreign one. The class with fewer shots stands behind a wall of
# height dσ²/K.

# %%
theory = 64 * (1 + 1), 64 * (1 + 1 / 20) + 4**2
claim(theory == (128, 83.2), "By theory 128 and 83.2.")
claim(abs(own.mean() - theory[0]) < 2, "Section 1, own prototype: within 2 of it.")
claim(abs(foreign.mean() - theory[1]) < 2, "Section 1, foreign prototype: within 2.")

# %% [markdown]
# *Exercise, about 5 minutes, ●●○:* take the wall away.

# %%
def corrected(distances, counts, d, sigma):
    """Squared distances without what the noise of each prototype adds on average.

    distances: float64 (points, n_way), from each point to each class's prototype, the
    mean of counts[k] points with d features of independent noise, standard deviation
    sigma. counts: int64 (n_way,). An answer may be negative. Returns (points, n_way).
    """
    raise NotImplementedError


# %%
check.unequal(corrected)

# %% [markdown]
# In the lab the left picture is the error, with theory, simulation and the two classes; the
# right one shows what the four mean distances are made of. Press *unequal*, then
# *corrected*, and watch the second part.

# %%
ch07.shots_lab()

# %%
exact = [float(ch07.error(64, 4.0, *pair)) for pair in ((1, 20), (20, 1))]
claim(abs(exact[0] - 0.986) < 5e-4, "One-shot class: 98.6 % wrong by theory …")
claim(exact[1] < 1e-3, "… and of the other under 0.1 %.")

# %%
mended = [float(ch07.error(64, 4.0, *pair, True)) for pair in ((1, 20), (20, 1))]
claim(abs(mended[0] - 0.223) < 5e-4, "Corrected: 22.3 % of the one-shot class …")
claim(abs(mended[1] - 0.249) < 5e-4, "… and 24.9 % of the other.")

# %%
mine = (own - 64 / 1 > foreign - 64 / 20).double()
found = estimate(mine)
claim(abs(found.mean - mended[0]) < 2 * found.half_width, "Section 1's points agree.")

# %% [markdown]
# Not good, but fair: one shot in 64 features is little. In a balanced episode the wall is
# equally high for all, so balanced benchmarks cannot see it. Your own data may. In the
# linear classifier it is the bias: ‖c‖² overestimates ‖μ‖² by dσ²/K on average. And the
# correction needs σ, which you have to estimate from the classes with several shots.

# %% [markdown]
# ## 10 · What goes wrong (optional)
# *6 minutes*
#
# **The root.** A [popular library](https://github.com/sicara/easy-few-shot-learning)
# scores by `-torch.cdist`, the unsquared distance (`few_shot_classifier.py`, line 121 at
# commit 8023ff4). The accuracies of a fixed network agree with the paper's rule. Its losses
# and gradients, with which networks are trained, are those of section 7.

# %%
root = protonet.log_probabilities(query.x, c, protonet.unsquared)
said = protonet.log_probabilities(query.x, c)
claim((names(root) == names(said)).all(), "The root: 25 000 equal names …")

# %%
shy = paired_difference(*(v.exp().max(-1).values.mean(1) for v in (said, root)))
claim(shy.low > 0.4, "… and the mean largest probability is over 0.4 smaller.")

# %% [markdown]
# **Labels that are names.** The same library takes the labels for 0…N−1. Hand such code the
# classes 3 and 7, and it looks for 0 and 1.

# %%
three_and_seven = torch.tensor([3, 3, 7, 7])
lost = torch.stack([seven[:4][three_and_seven == k].mean(0) for k in range(2)])
claim(lost.isnan().all(), "Classes 3 and 7: two prototypes of nothing, nan.")

# %% [markdown]
# **The wrong axis.** A softmax over the queries instead of the classes also gives numbers
# between 0 and 1. With one query all of them are 1.

# %%
single = (-protonet.squared(query.x[:, :1], c)).softmax(1)
claim((single == 1).all(), "One query: every class has probability 1.")
wrong_axis = (-protonet.squared(query.x, c)).softmax(1)
drop = paired_difference(by_mean, accuracy(names(wrong_axis), query.y))
claim(drop.low > 0.01, "25 queries: the accuracy falls by over 1 point.")
print(f"wrong axis: accuracy {accuracy(names(wrong_axis), query.y).mean():.2f}")

# %% [markdown]
# **A stray `squeeze()`,** which chapter 06 met, is
# [reported](https://github.com/jakesnell/prototypical-networks/issues/33) for the code of
# the paper: with one query of each class, (5, 1) against (5,) compares every answer with
# every label.

# %%
labels = torch.arange(5)
perfect = (labels[:, None] == labels).double().mean()
claim(perfect == 1 / 5, "Five right answers, and the accuracy is exactly 1/N.")

# %% [markdown]
# **The wrong loss.** Some texts train by pulling *support* points to their prototype. With
# one shot they are the same point:

# %%
pulled = protonet.squared(s1.x, protonet.prototypes(*s1, 5)).diagonal(0, 1, 2)
claim((pulled == 0).all(), "One shot: that loss is 0, whatever the features.")

# %% [markdown]
# ## 11 · Negative control
# *2 minutes*
#
# Shuffle the support labels of each task. Prototypes of mixed classes know nothing, and the
# accuracy must be chance, 20 of 100.

# %%
order = torch.rand(support.y.shape, generator=generator).argsort(1)
mixed = protonet.prototypes(support.x, support.y.gather(1, order), 5)
control = estimate(accuracy(protonet.nearest_prototype(query.x, mixed), query.y))
claim(abs(control.mean - 0.2) < 0.02, "Shuffled labels: chance, within 2 points.")

# %% [markdown]
# ## What you have shown
#
# The nearest mean under squared distance is the linear classifier w = 2c, b = −‖c‖², and
# every Bregman divergence gives one, with the mean as the right centre. The softmax is
# Bayes' rule for clouds of known centre and the right temperature; with estimated centres
# it is too sure at that temperature. The squared error of a prototype is dσ²/K on average.
# For round clouds the error above the best falls as 1/K once K is large, and classes with
# fewer shots pay unless the term is subtracted.

# %% tags=["nbval-ignore-output"]
from mlcourse import claims

print(f"nearest mean against nearest point, five shots: {better}")
print(f"cosine against squared, one shot: {cosine_1}; twenty shots: {cosine_20}")
print(f"city block against squared, normal noise: {normal}; Laplace: {heavy}")
print(claims.tally())

# %% [markdown]
# Three questions, to answer without looking. Why does −‖z‖² not matter, and for which
# distances is there no such term? What must be known for the probabilities to mean what
# they say? Which of two classes suffers when it has fewer shots, and by how much is its
# distance too long?
#
# To read: [Snell, Swersky and Zemel 2017](https://arxiv.org/abs/1703.05175), sections 2.3
# and 2.4; and on means, divergences and mixtures [Banerjee and others
# 2005](https://www.jmlr.org/papers/v6/banerjee05b.html).
#
# Next: [08 · ProtoNets on Omniglot](08_protonets_on_omniglot.ipynb).
