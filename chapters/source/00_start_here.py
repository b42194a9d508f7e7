# %% [markdown]
# # 00 · Start here
#
# **By the end you will have shown that this machine can run the course.** Ten minutes.
#
# A network usually needs many examples of a thing. A child who knows some letters often
# needs one of a new letter. How much of that is practice on *other* letters? This course
# takes apart three ways to put such practice into a network, with your hands on every
# number: transfer learning, MAML and Prototypical Networks.
#
# Run a cell with Shift-Enter, from the top. The first one fetches the course where it
# is missing; the second says what this notebook runs on.

# %%
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = ""
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import start

course = start("00", characters=True)

# %% [markdown]
# ## A lab before anything else
# *3 minutes*
#
# A sine wave is hidden (dotted). You get K points of it, the **support set**. A curve
# with two numbers, θ, starts flat and takes a few gradient steps towards those points; α
# scales the steps. On the right stands its error on points it has not seen, the **query
# set**, and the average of that error over 200 other waves.
#
# Move the sliders, by mouse or with Tab and the arrow keys. The coloured buttons set
# them for you and say what you will see. Then let the curve practise on other waves
# before it meets this one: each wave moves the *start* a fraction β of the way to where
# that wave was learned.

# %%
from mlcourse.labs.ch00 import first_lab

first_lab()

# %% [markdown]
# The line at the top right compares α with a limit; the next section explains it. First
# a guess. Press *enough* (ten points, ten steps), move only α, and watch this one wave.
# Then think of the average over 200 waves: from which α on is the curve worse after ten
# steps than with no step at all? Commit your answer.

# %%
from mlcourse.labs.predict import guess, predict

predict("bold", "From which α on are ten steps worse than none?", 0.0, 2.5, 0.05, 0.5)

# %% [markdown]
# Here is the whole curve over α, with your guess on it. The error falls over many powers
# of ten, then the steps overshoot, and soon it is worse than no step at all.

# %%
from mlcourse.claims import claim
from mlcourse.labs.ch00 import sweep, sweep_figure
from mlcourse.pictures import show

found = sweep()
show(*sweep_figure(found, guess("bold")))
claim(0.8 < found.best < 1.2, "The best α lies between 0.8 and 1.2.")
claim(1.2 < found.turn < 1.5, "From an α between 1.2 and 1.5 on, no step is better.")

# %% [markdown]
# ## What the lab computed
# *2 minutes*
#
# Everything that is taught is written out in the notebook. Here is the lab's learner.
# The curve is θ₁ sin x + θ₂ cos x, the error is the mean squared difference, and
# `adapt` walks down its gradient.

# %%
import torch

from mlcourse.tasks import Points, SineTasks


def support_loss(params, support):
    wave = params[0] * torch.sin(support.x) + params[1] * torch.cos(support.x)
    return ((wave - support.y) ** 2).mean()


def adapt(params, support, inner_lr, steps):
    for _ in range(steps):
        gradient = torch.func.grad(support_loss)(params, support)
        params = params - inner_lr * gradient
    return params


# %% [markdown]
# Practice is a loop around it. After each wave the start goes a part β of the way to
# where that wave was learned. You will meet this again: with several inner steps, as
# here, it is the algorithm Reptile. (With a single one it is nothing but gradient descent
# on all waves in turn.)

# %%
def practise(params, waves, inner_lr, outer_lr, steps):
    for x, y in zip(*waves.support):
        adapted = adapt(params, Points(x, y), inner_lr, steps)
        params = params + outer_lr * (adapted - params)
    return params


waves = SineTasks().sample(100, 5, 1, torch.Generator().manual_seed(1))
flat = torch.zeros(2, dtype=torch.float64)
params = practise(flat, waves, inner_lr=0.3, outer_lr=0.1, steps=3)
print(f"θ = ({params[0]:.2f}, {params[1]:.2f})")

# %% [markdown]
# Is it the same as what the lab does? The lab has the gradient by hand; the cell above
# lets torch find it. The two must agree.

# %%
from mlcourse.labs import ch00

by_lab = ch00.practise(tasks=100, k_shot=5, inner_lr=0.3, steps=3, outer_lr=0.1)
claim((params - by_lab).abs().max() < 1e-12, "Cell and lab agree to 12 digits.")

# %% [markdown]
# How long may a step be? The Hessian H of the support loss says how sharply the loss
# bends; its largest eigenvalue λ is the sharpest bend. Below 2/λ every step brings the
# curve closer to the points, above it the sharpest direction overshoots. Try both, from
# a place one unit away from the best θ in that direction.

# %%
support = Points(waves.support.x[0], waves.support.y[0])
hessian = torch.func.hessian(support_loss)(params, support)
values, directions = torch.linalg.eigh(hessian)
gradient = torch.func.grad(support_loss)(params, support)
away = params - torch.linalg.solve(hessian, gradient) + directions[:, -1]

# %%
limit = 2 / values[-1]
short, long = (adapt(away, support, f * limit, steps=1) for f in (0.95, 1.05))
claim(support_loss(short, support) < support_loss(away, support), "Below 2/λ: closer.")
claim(support_loss(long, support) > support_loss(away, support), "Above 2/λ: farther.")

# %% [markdown]
# Did practice help? Look at 200 other waves, five points each, three steps, from the
# flat start and from the practised one. Both meet the same waves, so what counts is the
# difference on each wave, with its 95 % interval.

# %%
from mlcourse.evaluation import paired_difference

settings = dict(wave=8, k_shot=5, inner_lr=0.3, steps=3, outer_lr=0.1)
flat, practised = (ch00.first_data(practice=n, **settings) for n in (0, 100))
for name, start in (("flat start", flat), ("practised start", practised)):
    before, after = start.mean_losses[[0, -1]]
    print(f"{name:16} {before:.1f} before, {after:.2f} after three steps")
gain = paired_difference(flat.other_losses[-1], practised.other_losses[-1])
print(f"gain: {gain.mean:.2f} ± {gain.half_width:.2f}")
worse = (practised.other_losses[-1] > flat.other_losses[-1]).double().mean()
claim(gain.low > 0, "On average the practised start ends lower …")
claim(0.25 < worse < 0.5, "… yet for a quarter to a half of the waves it ends higher.")

# %% [markdown]
# Better on average, and not by much: one start cannot suit every wave. Later chapters do
# better, and say by how much.

# %% [markdown]
# ## How a chapter works
# *2 minutes*
#
# * **Predictions** come before results. They stay on this machine.
# * **Claims** are lines such as the ones above. Each is checked every time the cell
#   runs; if a sentence stops being true, the cell fails. (Claims about Omniglot are not
#   judged where generated alphabets stand in for it.)
# * **Exercises** are functions with a hole. A check answers *not attempted*, *your code
#   raised*, *not yet* (with the mistake by its name) or *correct*. Nothing is counted
#   against you.
#
# Try it: replace the last line of the function, run both cells, and look at the card.

# %%
from mlcourse.exercises.ch00 import check


def mean_squared_error(prediction, target):
    """The mean of the squared differences, one number; both are (points, 1)."""
    raise NotImplementedError


# %%
check.error(mean_squared_error)

# %% [markdown]
# `check.error.hint()` gives a hint, then a stronger one; `check.error.solution()` shows
# an answer. A chapter runs to its end whether or not you solve anything.

# %% [markdown]
# ## This machine
# *2 minutes*
#
# In this course networks train while you watch. This one learns a sine wave from 50
# points. The number of steps is chosen to take about five seconds on your machine; 1500
# is for machines that test the course. Interrupt it with the ■ button, then run the cell
# with `run();` again: it goes on where it was.

# %%
torch.manual_seed(0)
layers = torch.nn.Linear(1, 40), torch.nn.Tanh(), torch.nn.Linear(40, 1)
net = torch.nn.Sequential(*layers).double()
optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
x = torch.linspace(-3, 3, 50, dtype=torch.float64).unsqueeze(1)


def step():
    loss = ((net(x) - torch.sin(2 * x)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# %%
from mlcourse.training import LiveRun

run = LiveRun(step, steps=1500, seconds=5, label="mean squared error")

# %% tags=["nbval-ignore-output"]
run();

# %%
claim(run.losses[-1] < run.losses[0] / 50, "More than fifty-fold.", done=run.done)

# %% [markdown]
# Last, the device. With a GPU the next cell runs there and must agree with the CPU.
# (Without one it compares the CPU with itself.) Where a GPU is full or lacks an
# operation, the course carries on on the CPU and says so in one line.

# %% tags=["nbval-ignore-output"]
from mlcourse.runtime import carry_on


def convolve(device):
    drawings = course.characters.evaluation.images[:50, 0].to(device).float() / 255
    generator = torch.Generator().manual_seed(0)  # on the CPU: the same on every device
    filters = torch.randn(8, 1, 3, 3, generator=generator).to(device)
    return torch.nn.functional.conv2d(drawings.unsqueeze(1), filters).cpu()


here = carry_on(convolve)

# %%
far = (here - convolve(torch.device("cpu"))).abs().max()
claim(far < 0.01, "This device and the CPU agree on a convolution to 0.01.")

# %% [markdown]
# ## Symbols
#
# Three names for one thing: what the mathematics writes, what we say, and what the code
# calls it, in all chapters.

# %%
from mlcourse.symbols import symbols

symbols()

# %% [markdown]
# ## The map
#
# Minutes are those of the core path. Sections marked *optional* come on top.

# %%
from mlcourse.exercises import progress

progress()

# %% [markdown]
# ## When something fails
#
# | what you see | what helps |
# |---|---|
# | a slider moves and the picture does not | a cell is still running: wait, or press ■ |
# | a red sentence inside a lab | it says what was wrong; press *reset* |
# | sliders are missing, only a picture shows | run the cell: a saved notebook has no kernel |
# | "generated alphabets" on the card at the top | Omniglot was not available: see `data/README.md` |
# | "This claim does not hold here" | run the notebook from the top; if it stays, report it |
# | everything is slow | close other notebooks: each one has a kernel of its own |
# | the kernel died | *Kernel → Restart*, then run from the top; answers in cells are kept |
#
# To report a fault, give the chapter, the cell, what you expected, what you got, and the
# card from the top of the chapter.

# %% [markdown]
# ## What you have shown
#
# The tools work here: labs answer, claims are checked, exercises judge, training runs.
# You have also met the idea of the whole course: two loops, one inside the other, where
# the inner loop learns a task and the outer loop learns where to start.
#
# Three questions to keep: Why does one point not suffice? What does α have to stay
# below? What did practice change, the steps or the start?

# %% tags=["nbval-ignore-output"]
from mlcourse import claims

print(claims.tally())

# %% [markdown]
# Next: [01 · Tasks, shots, episodes](01_tasks_shots_episodes.ipynb).
