"""What a query costs: seconds and memory of each agent on a made-up pool, and whether it is exact."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

import agents
from agents.strategies.badge import gradient_distances, gradient_factors
from alenv import memory
from alenv.errors import AlenvError
from scenarios.bench import explicit
from scenarios.bench.synthetic import synthetic_view

# They train networks: on a pool of the usual size for hours without a GPU.
TRAINING = ("asal", "core_gcn", "dal", "sraal", "ta_vaal", "uncertain_gcn", "vaal", "vab_al")
SMALL = {"pool": 400, "features": 32, "query_size": 40}


def usual() -> list[str]:
    """Names the agents that are measured unless others are asked for: all that train nothing."""
    return [name for name in agents.names() if name not in TRAINING]


def measure(
    *, pool: int, features: int, classes: int, query_size: int, chosen: Sequence[str], threads: int | None
) -> dict[str, Any]:
    """Measures every agent in a fresh process of its own.

    Args:
        pool: N.
        features: D.
        classes: C.
        query_size: B.
        chosen: Agent spellings.
        threads: CPU threads; None takes torch's default.

    Returns:
        JSON values: the setting, and per agent ``seconds``, ``extra_megabytes`` (peak resident memory beyond
        what the pool takes) and ``exact`` (the same picks as the slow explicit version on a smaller pool; for
        BADGE the same pick probabilities at each step, for k-means an image from the middle of each explicit
        cluster; null where there is no explicit version).

    Raises:
        AlenvError: There is no such agent, or the pool is too small for the query.
    """
    if pool < 2 * query_size:
        raise AlenvError(
            f"A pool of {pool} is too small for a query of {query_size}; give at least twice as many."
        )
    for spelled in chosen:
        agents.make(spelled)
    size = {"pool": pool, "features": features, "classes": classes, "query_size": query_size}
    context = multiprocessing.get_context("spawn")
    results = {}
    for spelled in chosen:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_measure_one, args=(there, spelled, size, threads), daemon=True)
        child.start()
        there.close()
        try:
            results[spelled] = here.recv()
        except EOFError:
            child.join()
            results[spelled] = {"error": f"its process ended with exit code {child.exitcode}"}
        child.join()
    used = threads or torch.get_num_threads()
    return {**size, "threads": used, "torch": torch.__version__, "agents": results}


def _measure_one(
    connection: Connection[Any, Any], spelled: str, size: dict[str, int], threads: int | None
) -> None:
    """Sends the measurements of one agent."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        exact = is_exact(spelled, size["classes"])  # warms the libraries up, too
        view = synthetic_view(**size)
        agent = agents.make(spelled)
        agent.reset(view, seed=0)
        gc.collect()
        memory.forget_resident_peak()
        before = memory.resident()
        start = time.perf_counter()
        picks = agent.act(None)
        seconds = time.perf_counter() - start
        extra = max(0.0, memory.resident_peak() - before)
        if len(np.unique(picks)) != view.query_size:
            raise AlenvError(f"{spelled} returned {len(np.unique(picks))} distinct images.")
    except AlenvError as error:
        connection.send({"error": str(error)})
        return
    connection.send({"seconds": round(seconds, 3), "extra_megabytes": round(extra, 1), "exact": exact})


def is_exact(spelled: str, classes: int) -> bool | None:
    """Compares an agent with its explicit version on a small pool; None where there is none."""
    view = synthetic_view(**SMALL, classes=classes)
    agent = agents.make(spelled)
    agent.reset(view, seed=0)
    picks = [int(index) for index in agent.act(None)]
    if spelled == "badge":
        _, distances = gradient_distances(
            gradient_factors(view.logits(view.unlabeled)), view.features(view.unlabeled)
        )
        positions = [int(position) for position in np.searchsorted(view.unlabeled, picks)]
        return explicit.same_probabilities(distances, explicit.gradient_embeddings(view), positions)
    if spelled == "kmeans":
        return explicit.are_central(view, picks)
    return picks == explicit.PICKS[spelled](view) if spelled in explicit.PICKS else None
