"""Queries by clusters: k-means from the agent's own first centers, linkage by hand, typicality by sorting."""

from __future__ import annotations

import numpy as np
import torch

from alenv import View
from alenv.geometry import distances_to_rows, k_means_plus_plus
from alenv.seeding import Purpose, torch_stream
from scenarios.bench.explicit.scores import gap, probabilities, softmax

ITERATIONS = 10  # of Lloyd, as the agents have them


def stream(view: View) -> torch.Generator:
    """Returns the generator that the agent of seed 0 draws from."""
    return torch_stream(0, Purpose.AGENT, view.cycle)


def lloyd(points: np.ndarray, k: int, draws: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centers (k, d) and the center of each point (n,) after k-means, from first centers by k-means++.

    A cluster that lost all its points goes on from a point far from its own center.

    Args:
        points: (n, d).
        k: Clusters.
        draws: Draws the first centers as an agent does.
    """
    h = points.astype(np.float64)
    rows = torch.as_tensor(points, dtype=torch.float32)
    centers = h[k_means_plus_plus(k, len(h), distances_to_rows(rows), draws).numpy()]
    for _ in range(ITERATIONS):
        far = np.linalg.norm(h[:, None] - centers[None], axis=2)
        own = far.argmin(axis=1)
        farthest = np.argsort(-far.min(axis=1), kind="stable").tolist()
        groups = [h[own == cluster] for cluster in range(k)]
        centers = np.array([group.mean(0) if len(group) else h[farthest.pop(0)] for group in groups])
    own = np.linalg.norm(h[:, None] - centers[None], axis=2).argmin(axis=1)
    return centers, own


def are_middles(points: np.ndarray, rows: list[int], draws: torch.Generator) -> bool:
    """Tells whether rows are one point of each k-means cluster, none farther from its center than another.

    The two points of a cluster of two tie, so picks are not compared.

    Args:
        points: (n, d), n above the number of rows.
        rows: The picks.
        draws: See ``lloyd``.
    """
    centers, own = lloyd(points, len(rows), draws)
    far = np.linalg.norm(points.astype(np.float64) - centers[own], axis=1)
    least = [far[own == cluster].min() for cluster in own[rows]]
    each_once = sorted(own[rows].tolist()) == list(range(len(centers)))
    return each_once and bool(np.allclose(far[rows], least, rtol=1e-5))


def is_kmeans(view: View, picks: list[int]) -> bool:
    """Tells whether picks are the middles of B clusters of the features."""
    rows = np.searchsorted(view.unlabeled, picks).tolist()
    return are_middles(view.features(view.unlabeled).numpy(), rows, stream(view))


def _are_middles_of(view: View, wanted: np.ndarray, picks: list[int], draws: torch.Generator) -> bool:
    """Tells whether picks are middles of the wanted unlabeled images; with too few, all of these and others."""
    kept = view.unlabeled[wanted].tolist()
    if len(kept) <= len(picks):
        return set(kept) <= set(picks) <= set(view.unlabeled.tolist())
    if not set(picks) <= set(kept):
        return False
    h = view.features(np.array(kept)).numpy()
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    return are_middles(h, [kept.index(pick) for pick in picks], draws)


def head(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weight (C, D) and constant (C,) that give the logits, by least squares."""
    h = view.features(view.unlabeled).double().numpy()
    rows = np.hstack([h, np.ones((len(h), 1))])
    solved = np.linalg.lstsq(rows, view.logits(view.unlabeled).double().numpy(), rcond=None)[0]
    return solved[:-1].T, solved[-1]


def changing(view: View, cap: float) -> np.ndarray:
    """Returns which unlabeled images change their class when mixed with a class's mean, bool (U,).

    Source: Parvaneh et al. 2022, the closed form, kept between 0 and the cap.
    """
    weight, constant = head(view)
    known, labels = view.features(view.labeled).double().numpy(), view.labels().numpy()
    means = [known[labels == label] for label in range(view.num_classes)]
    anchors = np.array([each.mean(0) if len(each) else known.mean(0) for each in means])
    found = []
    for h in view.features(view.unlabeled).double().numpy():
        logits = weight @ h + constant
        guess = int(logits.argmax())
        gradient = (softmax(logits[None])[0] - np.eye(len(logits))[guess]) @ weight
        apart = anchors - h  # (C, D)
        length = np.linalg.norm(apart, axis=1, keepdims=True) / np.linalg.norm(gradient)
        share = np.clip(cap / len(h) ** 0.5 * length * gradient / np.where(apart == 0, np.inf, apart), 0, cap)
        mixed = (1 - share) * h + share * anchors
        found.append(bool(((mixed @ weight.T + constant).argmax(1) != guess).any()))
    return np.array(found)


def is_alfa_mix(view: View, picks: list[int]) -> bool:
    """Tells whether picks are middles of the images that change when mixed, at the least share with more than B."""
    for cap in (0.2, 0.4, 0.6, 0.8, 1.0):
        wanted = changing(view, cap)
        if wanted.sum() > len(picks):
            break
    return _are_middles_of(view, wanted, picks, stream(view))


def is_drop_query(view: View, picks: list[int]) -> bool:
    """Tells whether picks are middles of the images whose class dropout changes; the masks are the agent's own."""
    (weight, constant), draws = head(view), stream(view)
    h = view.features(view.unlabeled).double().numpy()
    guess = (h @ weight.T + constant).argmax(1)
    votes = np.zeros(len(h), dtype=int)
    for _ in range(3):
        kept = torch.rand(h.shape, generator=draws).numpy() >= 0.75
        votes += ((h * kept / 0.25) @ weight.T + constant).argmax(1) != guess
    for least in (2, 1):
        wanted = votes >= least
        if wanted.sum() >= 25 * len(picks):
            break
    return _are_middles_of(view, wanted, picks, draws)


def typicality(points: np.ndarray, neighbors: int = 20) -> np.ndarray:
    """Returns 1 / (mean distance to the nearest other points + 1e-5), (n,); 0 for a single point."""
    if len(points) < 2:
        return np.zeros(len(points))
    far = np.linalg.norm(points[:, None] - points[None], axis=2)
    count = min(neighbors, len(points) // 2)
    means = [np.sort(np.delete(row, i))[:count].mean() for i, row in enumerate(far)]
    return np.array([1 / (mean + 1e-5) for mean in means])


def is_typiclust(view: View, picks: list[int]) -> bool:
    """Tells whether picks come in turns from the right clusters, each the most typical that was left in its own."""
    everything = np.concatenate([view.unlabeled, view.labeled])
    x = view.embedding(everything).double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    own = lloyd(x, min(len(view.labeled) + len(picks), 500), stream(view))[1]
    free = np.arange(len(everything)) < len(view.unlabeled)
    typical, keys, turns = np.zeros(len(x)), list[tuple[int, ...]](), list[tuple[int, ...]]()
    for cluster in np.unique(own):
        rows = np.flatnonzero(own == cluster)
        typical[rows] = typicality(x[rows])
        key = (int((~free[rows]).sum()), -len(rows), int(cluster))
        turns += [(int(len(rows) <= 5), turn, *key) for turn in range(int(free[rows].sum()))]
    chosen = np.searchsorted(view.unlabeled, picks)
    left = free.copy()
    for row in chosen:
        rivals = np.flatnonzero((own == own[row]) & left)
        if row not in rivals or typical[row] < typical[rivals].max() * (1 - 1e-4):
            return False
        taken = int(((own == own[row]) & free & ~left).sum())
        members = own == own[row]
        keys.append((int(members.sum() <= 5), taken, int((members & ~free).sum()), -int(members.sum())))
        left[row] = False
    return keys == [turn[:4] for turn in sorted(turns)[: len(picks)]]


def average_linkage(points: np.ndarray, clusters: int) -> np.ndarray:
    """Returns clusters (n,), merging the two of the least mean of 1 - cosine until ``clusters`` are left.

    Args:
        points: (n, d) of unit length.
        clusters: How many are left.
    """
    apart = 1 - points @ points.T
    groups = [[row] for row in range(len(points))]
    sums = apart.copy()  # of the distances between two groups
    while len(groups) > clusters:
        sizes = np.array([len(group) for group in groups])
        means = sums / np.outer(sizes, sizes)
        np.fill_diagonal(means, np.inf)
        first, second = sorted(np.unravel_index(means.argmin(), means.shape))
        groups[first] += groups.pop(second)
        sums[first] += sums[second]
        sums[:, first] += sums[:, second]
        sums = np.delete(np.delete(sums, second, 0), second, 1)
    found = np.empty(len(points), dtype=int)
    for cluster, group in enumerate(groups):
        found[group] = cluster
    return found


def is_cluster_margin(view: View, picks: list[int]) -> bool:
    """Tells whether picks come in turns from clusters of the lowest margins, the smallest cluster first."""
    gaps = np.array([gap(row) for row in probabilities(view, view.unlabeled)])
    kept = view.unlabeled[np.argsort(gaps, kind="stable")[: 10 * view.query_size]].tolist()
    if not set(picks) <= set(kept):
        return False
    h = view.features(np.array(kept)).double().numpy()
    own = average_linkage(h / np.linalg.norm(h, axis=1, keepdims=True), max(1, round(len(kept) / 10)))
    sizes = np.bincount(own)
    turns = sorted((turn, int(size)) for size in sizes for turn in range(size))
    keys, taken = [], np.zeros(len(sizes), dtype=int)
    for pick in picks:
        cluster = own[kept.index(pick)]
        keys.append((int(taken[cluster]), int(sizes[cluster])))
        taken[cluster] += 1
    return keys == turns[: len(picks)] and len(set(picks)) == len(picks)


CHECKS = {
    "kmeans": is_kmeans,
    "alfa_mix": is_alfa_mix,
    "drop_query": is_drop_query,
    "typiclust": is_typiclust,
    "cluster_margin": is_cluster_margin,
}
