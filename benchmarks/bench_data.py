"""ProtoNet training from one tensor, and from PNG files: python benchmarks/bench_data.py [--tiny]

60-way 1-shot 5-query episodes of 28 x 28, 64 filters, Adam, two threads. "PNG files" is a plain
`DataLoader` without workers in the manner of the common few-shot libraries: an episode sampler, a
data set that opens, resizes and converts a picture at a time, and a network in torch's default
memory layout. It is a stand-in and none of those libraries. Both take turns in one process; ratios
are medians of the ratios of single rounds.
"""

import os
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from bench_tasks import interleaved
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mlcourse import paths, runtime
from mlcourse.learners.protonet_runs import OUTER_LR, Recipe, Training
from mlcourse.tasks import Characters, Points, omniglot

SHARE = 0.02  # of a step that sampling may take
TINY = Recipe(n_way=5, size=28, filters=8, embedding=8)


class Files(Dataset):
    """Characters in folders, twenty PNG files each: (image (1, size, size), class)."""

    def __init__(self, folder: Path, size: int):
        characters = sorted(p for p in folder.glob("*/*/*") if p.is_dir())
        self.items = [(p, i) for i, c in enumerate(characters) for p in sorted(c.glob("*.png"))]
        self.classes, self.size = len(characters), size

    def __len__(self) -> int:
        return len(self.items)

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


def from_files(folder: Path, recipe: Recipe) -> tuple[Callable, Callable]:
    """The next episode, and a step of training on the next one."""
    files = Files(folder, recipe.size)
    batches = iter(DataLoader(files, batch_sampler=Episodes(files.classes, recipe)))
    net = recipe.net().to(memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.Adam(net.parameters(), OUTER_LR)

    def step() -> None:
        loss = files_loss(net, next(batches)[0], recipe)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return lambda: next(batches), step


def from_tensor(pool: Characters, recipe: Recipe) -> tuple[Callable, Callable]:
    """The same as the course does it."""
    work, generator = Training(recipe, pool, torch.device("cpu")), torch.Generator().manual_seed(0)
    shape = recipe.k_shot, recipe.n_query
    return (
        lambda: pool.sample(1, *shape, generator, recipe.n_way),
        lambda: work.step(0.5),
    )


def check_agreement(folder: Path, recipe: Recipe) -> None:
    """Both forms give the same loss on the same episode and weights."""
    files, net = Files(folder, recipe.size), recipe.net().train()
    images, _ = next(iter(DataLoader(files, batch_sampler=Episodes(files.classes, recipe))))
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


def ratio(seconds: dict[str, list[float]], over: str, under: str) -> float:
    """The median of the ratios of single rounds."""
    return statistics.median(a / b for a, b in zip(seconds[over], seconds[under]))


def main() -> None:
    """Write the files, check, measure, report."""
    tiny = "--tiny" in sys.argv
    full = Recipe(size=28, filters=64, n_query=5)
    recipe, classes, rounds = (TINY, 8, 3) if tiny else (full, 964, 15)
    runtime.keep_freed_memory()
    torch.set_num_threads(2)
    pool = omniglot.load_characters(recipe.size).background.subset(torch.arange(classes))
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), classes)
        check_agreement(Path(folder), recipe)
        ours, theirs = from_tensor(pool, recipe), from_files(Path(folder), recipe)
        names = ["tensor, episode", "tensor, step", "PNG files, episode", "PNG files, step"]
        seconds = interleaved(dict(zip(names, [*ours, *theirs])), rounds)
    print(f"{recipe.n_way}-way 1-shot, {recipe.images()} images an episode, {classes} classes")
    for name, times in seconds.items():
        print(f"{name:24}{1 / statistics.median(times):10.1f} a second")
    for part in ("episode", "step"):
        found = ratio(seconds, f"PNG files, {part}", f"tensor, {part}")
        print(f"{part + ', tensor against PNG files':36}{found:8.1f} x")
    for name in ("tensor", "PNG files"):
        share = ratio(seconds, f"{name}, episode", f"{name}, step")
        verdict = f"target {SHARE:.0%} {'met' if share <= SHARE else 'MISSED'}"
        print(f"sampling's share of a step, {name:10}{share:8.1%}  {verdict * (name == 'tensor')}")


if __name__ == "__main__":
    main()
