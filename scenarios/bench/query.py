"""What a query costs: seconds and memory of each agent on a made-up pool, and whether it is exact."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

import agents
from agents.spelling import parse
from alenv import memory
from alenv.errors import AlenvError
from scenarios.bench import explicit
from scenarios.bench.synthetic import synthetic_view

# They train networks: on a pool of the usual size for hours without a GPU.
TRAINING = ("asal", "core_gcn", "dal", "sraal", "ta_vaal", "uncertain_gcn", "vaal", "vab_al")
ASKING = ("albl", "oracle_greedy", "tailor")  # other agents: what those cost is what they cost
SMALL = {"pool": 400, "features": 32, "query_size": 40}
SMALLER = {  # or it takes minutes
    "bait": {"pool": 60, "features": 3, "query_size": 5},
    "batch_bald": {"pool": 60, "features": 6, "query_size": 5},
    "isal": {"pool": 60, "features": 6, "query_size": 5},
}
MOST = {"batch_bald": 40}  # images that an agent chooses at once at most
SECONDS, MEGABYTES = 60.0, 1000.0  # above which a query needs a reason

REASONS = {
    "batch_bald": (
        "It chooses at most 40 images at once, and that is measured; its first picks are compared, later ones rest on "
        "a sample of labels."
    ),
    "consistency": "Its 51 inference passes are those of a tiny network on 8x8 images, not of one that is used.",
    "random": "Any distinct unlabeled images are a uniform draw, so only that is checked.",
}
"""What is to be known beside an agent's numbers."""

COSTLY = {
    "bait": "Each of 3 B steps updates what 4 B images add, C x C numbers each, by products with matrices of C D",
    "prob_cover": "It counts the images in the ball of each image exactly, and of many again for every choice",
}
"""Why an agent takes more than 60 s or 1 GB, beyond what it says of its cost."""


def usual() -> list[str]:
    """Names the agents that are measured unless others are asked for: all that train nothing."""
    return [name for name in agents.names() if name not in (*TRAINING, *ASKING)]


def measure(
    *,
    pool: int,
    features: int,
    classes: int,
    query_size: int,
    chosen: Sequence[str],
    threads: int | None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measures every agent in a fresh process of its own.

    Args:
        pool: N.
        features: D.
        classes: C.
        query_size: B.
        chosen: Agent spellings.
        threads: CPU threads; None takes torch's default.
        tell: Called with what is measured next.

    Returns:
        JSON values: the setting, and per agent ``seconds``, ``extra_megabytes`` (peak resident memory beyond
        what the pool takes), ``exact`` (whether its picks on a small pool are those of its slow explicit version, or
        where draws and ties decide, among those that it allows; null where there is no explicit version) and, where
        there is something to say of these, ``reason``. An agent that chooses fewer images at once is measured at that
        ``query_size``.

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
    results = {}
    for spelled in chosen:
        tell(f"{spelled}, {classes} classes")
        served = min(query_size, MOST.get(spelled, query_size))
        row = _in_a_process(spelled, {**size, "query_size": served}, threads)
        if served != query_size:
            row["query_size"] = served
        reason = _reason(spelled, row)
        results[spelled] = {**row, "reason": reason} if reason else row
    used = threads or torch.get_num_threads()
    return {**size, "threads": used, "torch": torch.__version__, "agents": results}


def _in_a_process(spelled: str, size: dict[str, int], threads: int | None) -> dict[str, Any]:
    """Returns the measurements of one agent, or the ``error`` that it met."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure_one, args=(there, spelled, size, threads), daemon=True)
    child.start()
    there.close()
    try:
        row: dict[str, Any] = here.recv()
    except EOFError:
        child.join()
        row = {"error": f"its process ended with exit code {child.exitcode}"}
    child.join()
    return row


def _reason(spelled: str, row: dict[str, Any]) -> str:
    """Says what is to be known beside the numbers, and why they are high; empty where there is nothing."""
    if "error" in row:
        return ""
    said = [REASONS[spelled]] if spelled in REASONS else []
    if row["exact"] is None:
        kind = "trains networks" if parse(spelled).names[0] in TRAINING else "has options of its own"
        said.append(f"It {kind}, of which there is no explicit version.")
    if row["seconds"] > SECONDS or row["extra_megabytes"] > MEGABYTES:
        why, cost = COSTLY.get(spelled, "It costs much"), agents.make(spelled).cost
        said.append(f"{why}: {cost}." if cost else f"{why}.")
    return " ".join(said)


def _measure_one(
    connection: Connection[Any, Any], spelled: str, size: dict[str, int], threads: int | None
) -> None:
    """Sends the measurements of one agent."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        exact = is_exact(spelled, size["classes"])  # warms the libraries up, too
        agent = agents.make(spelled)
        view = synthetic_view(**size, members="members" in agent.needs)
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
    view = synthetic_view(**SMALLER.get(spelled, SMALL), classes=classes, members=True)
    agent = agents.make(spelled)
    agent.reset(view, seed=0)
    return explicit.agrees(spelled, view, [int(index) for index in agent.act(None)])
