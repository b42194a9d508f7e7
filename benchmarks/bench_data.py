"""ProtoNet training from one tensor, and from PNG files: python benchmarks/bench_data.py

60-way 1-shot 5-query episodes of 28 x 28, 64 filters, Adam, two threads. "PNG files" is a plain
`DataLoader` without workers in the manner of the common few-shot libraries: an episode sampler, a
data set that opens, resizes and converts a picture at a time, and a network in torch's default
memory layout. "easyfsl" is the same with that library's own sampler and collation. All take turns
in one process; ratios are medians of the ratios of single rounds. Options: --tiny, --record.
"""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import peers
import torch
from history import report
from PIL import Image
from timing import THREADS, TINY, WITH, interleaved, ratios
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mlcourse import paths, runtime
from mlcourse.learners.protonet_runs import OUTER_LR, Recipe, Training
from mlcourse.tasks import Characters, Points, omniglot

TARGETS = {"tensor, step": 9.0, "PNG files, step": 2.0, "share": 2.0}  # a second, times, %
PARTS = "episode", "step"
SMALL, FULL = Recipe(n_way=5, size=28, filters=8, embedding=8), Recipe(filters=64, n_query=5)


class Files(Dataset):
    """Characters in folders, twenty PNG files each: (image (1, size, size), class)."""

    def __init__(self, folder: Path, size: int):
        characters = sorted(p for p in folder.glob("*/*/*") if p.is_dir())
        self.items = [(p, i) for i, c in enumerate(characters) for p in sorted(c.glob("*.png"))]
        self.classes, self.size = len(characters), size

    def __len__(self) -> int:
        return len(self.items)

    def get_labels(self) -> list[int]:
        """The class of each picture, as easyfsl asks for it."""
        return [label for _, label in self.items]

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.items[index]
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L").resize((self.size, self.size)))
        return 1 - torch.from_numpy(grey.copy()).float().div(255).unsqueeze(0), label


class Episodes:
    """Batches of indices into `Files`, an episode each, class by class, without end."""

    def __init__(self, classes: int, recipe: Recipe):
        self.classes, self.recipe = classes, recipe

    def __iter__(self) -> Iterator[list[int]]:
        points = self.recipe.k_shot + self.recipe.n_query
        while True:
            chosen = torch.randperm(self.classes)[: self.recipe.n_way].tolist()
            yield [20 * c + d for c in chosen for d in torch.randperm(20)[:points].tolist()]


def files_loss(net: nn.Module, images: Tensor, recipe: Recipe) -> Tensor:
    """The loss of one episode, its images class by class."""
    features = net(images).unflatten(0, (recipe.n_way, -1))
    prototypes = features[:, : recipe.k_shot].mean(1)
    queries = features[:, recipe.k_shot :].flatten(0, 1)
    targets = torch.arange(recipe.n_way).repeat_interleave(recipe.n_query)
    return nn.functional.cross_entropy(-(torch.cdist(queries, prototypes) ** 2), targets)


def from_files(batches: Iterator[Tensor], recipe: Recipe) -> tuple[Callable, Callable]:
    """The next episode, and a step of training on the next one; batches: images class by class."""
    net = recipe.net().to(memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.Adam(net.parameters(), OUTER_LR)

    def step() -> None:
        loss = files_loss(net, next(batches), recipe)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return lambda: next(batches), step


def by_loader(files: Files, recipe: Recipe) -> Iterator[Tensor]:
    """Episodes by a sampler of one's own."""
    loader = DataLoader(files, batch_sampler=Episodes(files.classes, recipe))
    return (images for images, _ in loader)


def by_easyfsl(files: Files, recipe: Recipe) -> Iterator[Tensor]:
    """Episodes by easyfsl's sampler and collation, which parts support from query."""
    for episode in peers.easyfsl(files, recipe.n_way, recipe.k_shot, recipe.n_query):
        sides = [x.unflatten(0, (recipe.n_way, -1)) for x in (episode[0], episode[2])]
        yield torch.cat(sides, 1).flatten(0, 1)


def from_tensor(pool: Characters, recipe: Recipe) -> tuple[Callable, Callable]:
    """The same as the course does it."""
    work, generator = Training(recipe, pool, torch.device("cpu")), torch.Generator().manual_seed(0)
    shape = recipe.k_shot, recipe.n_query
    return (
        lambda: pool.sample(1, *shape, generator, recipe.n_way),
        lambda: work.step(0.5),
    )


def check_agreement(images: Tensor, recipe: Recipe) -> None:
    """Both forms give the same loss on the same episode and weights."""
    net = recipe.net().train()
    features = net(images).unflatten(0, (recipe.n_way, -1))
    sets = features.split([recipe.k_shot, recipe.n_query], 1)
    labels = [torch.arange(recipe.n_way).repeat_interleave(part.shape[1]) for part in sets]
    ours = recipe.loss(*(Points(x.flatten(0, 1), y) for x, y in zip(sets, labels)))
    theirs = files_loss(net.to(memory_format=torch.contiguous_format), images, recipe)
    assert (ours - theirs).abs() < 1e-3 * ours, f"the contenders do not agree: {ours}, {theirs}"


def write_pictures(folder: Path, classes: int) -> None:
    """Omniglot's background characters as PNG files, or noise of the same shape."""
    named = Path(os.environ.get("MLCOURSE_OMNIGLOT") or paths.data_folder()).expanduser()
    if omniglot.lacking(named):
        print("no Omniglot here (see data/README.md): noise of the same shape")
        for i in range(classes):
            place = folder / "images" / "alphabet" / f"{i:04}"
            place.mkdir(parents=True)
            for j in range(20):
                Image.fromarray(np.random.rand(105, 105) > 0.1).save(place / f"{j:02}.png")
        return
    with zipfile.ZipFile(named / "images_background.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".png"))[: 20 * classes]
        archive.extractall(folder, names)


def main() -> None:
    """Write the files, check, measure, report."""
    recipe, classes, rounds = (SMALL, 8, 2) if TINY else (FULL, 964, 15)
    runtime.keep_freed_memory()
    torch.set_num_threads(THREADS)
    pool = omniglot.load_characters(recipe.size).background.subset(torch.arange(classes))
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), classes)
        files = Files(Path(folder), recipe.size)
        forms = {"PNG files": by_loader}
        forms |= {"easyfsl": by_easyfsl} if peers.ready("easyfsl") else {}
        pairs = {"tensor": from_tensor(pool, recipe)}
        for name, form in forms.items():
            check_agreement(next(form(files, recipe)), recipe)
            pairs[name] = from_files(form(files, recipe), recipe)
        runs = {f"{n}, {part}": f for n, p in pairs.items() for part, f in zip(PARTS, p)}
        seconds = interleaved(runs, rounds)
    for part in PARTS:
        what, ours = f"ProtoNet, 60-way {part}, {WITH}", f"tensor, {part}"
        report(f"{what}: tensor", [1 / s for s in seconds[ours]], "/s", TARGETS.get(ours))
        for name in forms:
            theirs = f"{name}, {part}"
            report(f"{what}: {name}", ratios(seconds, theirs, ours), "x", TARGETS.get(theirs))
    shares = [100 * share for share in ratios(seconds, "tensor, episode", "tensor, step")]
    report(f"sampling's share of a ProtoNet step, {WITH}", shares, "%", TARGETS["share"])


if __name__ == "__main__":
    main()
