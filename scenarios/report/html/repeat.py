"""All that is needed to repeat a comparison: the command, and the settings of every run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.play.comparison_folder import ComparisonSettings, Shown
from scenarios.report.details import Known

GROUPS = ("recipe", "protocol", "options")


def commands(settings: ComparisonSettings, shown: Shown) -> list[str]:
    """Returns the commands that play the runs that are shown; several where their seeds have gaps.

    Nothing is returned for a comparison that no command has begun.
    """
    facts = settings.facts
    if "scenario" in facts:
        words = ["alenv", "run", str(facts["scenario"]), "--size", str(facts["size"])]
        for name, value in facts.get("options", {}).items():
            words += ["--option", f"{name}={_spelled(value)}"]
    elif "environment" in facts and all("," not in label for label in shown.labels):
        words = ["alenv", "compare", str(facts["environment"]), "--agents", ",".join(shown.labels)]
        pairs = [f"{name}={_spelled(value)}" for name, value in facts.get("settings", {}).items()]
        words += ["--set", *pairs] if pairs else []
        references = sorted({base for picture in shown.pictures for base in picture.against.values()})
        words += ["--reference", references[0]] if len(references) == 1 else []
    else:
        return []
    if settings.threads is not None:
        words += ["--threads", str(settings.threads)]
    return [shlex.join([*words, "--seeds", text]) for text in _ranges(shown.seeds)]


def _spelled(value: Any) -> str:
    """Returns a setting's value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _ranges(seeds: Sequence[int]) -> list[str]:
    """Returns seeds as ``--seeds`` takes them, one text per block without gaps."""
    blocks: list[list[int]] = []
    for seed in sorted(seeds):
        if blocks and seed == blocks[-1][-1] + 1:
            blocks[-1].append(seed)
        else:
            blocks.append([seed])
    return [str(block[-1] + 1) if not block[0] else f"{block[0]}:{block[-1] + 1}" for block in blocks]


def facts(known: Known) -> list[tuple[str, str]]:
    """Returns what the runs were played with and on: versions, code, data, device; several values where they differ."""
    metas = [details.meta for details in known.values()]
    found: dict[str, dict[str, None]] = {}  # in the order of the runs, each once
    for meta in metas:
        code = meta.get("code", {})
        versions = dict(meta.get("versions", {}))
        rows = {
            "code (SHA-256)": code.get("sha256"),
            "machine": versions.pop("machine", None),
            **{f"version of {name}": value for name, value in versions.items()},
            "dataset": meta.get("images", {}).get("dataset"),
            "dataset source": meta["dataset"].get("source"),
            "dataset checksum (SHA-256)": meta["dataset"].get("checksum"),
            "device": meta["device"],
            "precision": meta["precision"],
            "threads": meta["threads"],
        }
        for name, value in rows.items():
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return [(name, ", ".join(values)) for name, values in found.items()]


def settings_of_all(known: Known) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Returns every setting of the runs.

    Returns:
        What all runs share, as name and value; and what arms differ in, as arm, name and value.
    """
    arms: dict[str, dict[str, str]] = {}
    for (label, _), details in known.items():
        arms.setdefault(label, _flat(details.meta))
    shared = [
        (name, value)
        for name, value in next(iter(arms.values()), {}).items()
        if all(other.get(name) == value for other in arms.values())
    ]
    common = {name for name, _ in shared}
    own = [
        (label, name, value)
        for label, all_ in arms.items()
        for name, value in all_.items()
        if name not in common
    ]
    return shared, own


def _flat(meta: Mapping[str, Any]) -> dict[str, str]:
    """Returns the settings of one run by name; its seed is left out."""
    configuration = meta["configuration"]
    found = {"environment": configuration["env_id"], "agent": configuration["agent"]}
    for name, value in configuration.get("agent_kwargs", {}).items():
        found[f"agent: {name}"] = _spelled(value)
    for group in GROUPS:
        for name, value in meta[group].items():
            found[f"{group}: {name}"] = _spelled(value)
    for name, value in configuration.get("content", {}).items():
        found[f"checksum of {name}"] = str(value)
    return found
