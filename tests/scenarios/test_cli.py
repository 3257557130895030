"""The command line: what it prints, and one sentence for every error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from command import FAKE, error, run
from spellings import QUICK
from stable_baselines3 import PPO

import agents
from alenv import environment_id, nets
from alenv.presets import DATASETS
from alenv.recipes import RECIPES
from scenarios import cli
from scenarios.bench import explicit
from scenarios.bench import query as querying
from scenarios.bench.products import training_operations
from scenarios.bench.synthetic import synthetic_view
from scenarios.cli.agents import reflowed


def test_help_lists_every_command() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert f"  {name} " in out
        assert run(name, "--help")[0] == 0


def test_envs() -> None:
    code, out, _ = run("envs", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["ALCifar10-v0"]["query_size"] == 1000
    assert "ALDigits-v0" in run("envs")[1]


def test_every_command_that_reads_a_folder_says_what_it_found(image_folder: Path) -> None:
    (image_folder / "train" / "notes.txt").write_text("x")
    small = ("initial_size=6", "query_size=3", "budget=3", "backbone=convnet", "width=4", "epochs=1")
    settings = ("--set", f"root={image_folder}", "image_size=12", "test_share=0.2", *small)
    try:
        for command in (
            ("compare", "ALImageFolder-v0", "--agents", "random", "--seeds", "1"),
            ("bench", "env", "ALImageFolder-v0"),
        ):
            code, _, err = run(*command, *settings)
            assert code == 0, err
            for words in ("cat", "dog", "fox", "60", "15", ".txt"):
                assert words in err
    finally:
        (image_folder / "train" / "notes.txt").unlink()


def test_the_page_of_an_environment() -> None:
    code, out, _ = run("envs", "ALCifar10Ridge-v0")
    assert code == 0
    for words in (
        "Observation:",
        "Reward:",
        "head=ridge",
        "validation=5000",
        "cifar10 with the ridge recipe",
    ):
        assert words in out
    assert json.loads(run("envs", "ALCifar10-v0", "--json")[1])["settings"]["epochs"] == 200
    assert all(
        words in run("envs", "ALMix-v0")[1] for words in ("penalty=(0.1, 1.0)", "Action:", "query_size")
    )
    assert json.loads(run("envs", "ALMix-v0", "--json")[1])["settings"]["cycles"] == 10
    assert "did you mean 'ALCifar10Ridge-v0'" in error("envs", "ALCifar10Rige-v0")


def test_settings_are_those_of_the_code() -> None:
    listed = {row["name"]: row for row in json.loads(run("settings", "--json")[1])}
    env = gym.make("ALDigits-v0").unwrapped
    fields = [*vars(env.recipe), *vars(env.protocol), *vars(env.options)]  # type: ignore[attr-defined]  # gym.Env lacks it
    assert set(listed) == set(fields) - {"joint_options", "default_device"}
    for row in listed.values():
        assert row["meaning"].endswith("."), row
        assert row["allowed"]
    assert listed["budget"]["default"] == 9000
    assert listed["observe"]["group"] == "environment"
    code, out, _ = run("settings", "start")
    assert code == 0
    for words in ('"warm" keeps', "one of 'warm', 'cold', 'pretrained'", "dataset digits: cold"):
        assert words in out.replace("\n", " ")
    assert [row["name"] for row in json.loads(run("settings", "loss_prediction", "--json")[1])] == [
        "joint_weight",
        "joint_margin",
        "joint_width",
        "joint_cut",
    ]
    shared = run("settings", "joint_cut")[1]
    assert "joint=loss_prediction" in shared
    assert "joint=loss_ranking" in shared
    assert "did you mean 'start'" in error("settings", "strt")


def test_agents() -> None:
    code, out, _ = run("agents")
    assert code == 0
    for name in ("random", "margin", "coreset", "badge", "ll4al"):
        assert name in out
    explained = run("agents", "ll4al")[1]
    assert "Yoo & Kweon 2019" in explained
    assert "Needs: predicted_loss" in explained
    assert "Chooses from: the cycle's candidates" in explained
    assert "A.16" in run("agents", "coreset+margin")[1]
    assert "Needs: predicted_loss" in run("agents", "coreset+ll4al")[1]
    described = {row["name"]: row for row in json.loads(run("agents", "--json")[1])}
    assert described["ll4al"]["needs"] == ["predicted_loss"]
    assert json.loads(run("agents", "ll4al", "--json")[1]) == described["ll4al"]


def test_scenarios() -> None:
    assert "default_setting" in run("scenarios")[1]
    code, out, _ = run("scenarios", "default_setting")
    assert code == 0
    for word in (
        "Claim",
        "paper",
        "small",
        "smoke",
        "uncertainty=entropy",
        "86.85",
        "Check: ll4al above badge in the area",
    ):
        assert word in out
    listed = json.loads(run("scenarios", "--json")[1])
    assert json.loads(run("scenarios", "default_setting", "--json")[1]) in listed
    (found,) = (row for row in listed if row["name"] == "default_setting")
    assert {"paper", "small", "smoke"} == set(found["sizes"])
    wanted = {"label": "ll4al", "against": "random", "sign": 1, "at": "end"}
    assert wanted.items() <= found["checks"][-5].items()
    assert "rank correlations" in run("scenarios", "fidelity_ladder")[1]
    assert "ALSvhn-v0" in run("scenarios", "warm_cold", "--option", "dataset=svhn")[1]


def test_a_probe_estimates_the_time_of_every_run() -> None:
    said = json.loads(run("scenarios", "warm_cold", "--probe", "smoke", "--json")[1])
    assert (said["runs"], said["environments"], said["left_out"]) == (20, 4, ["queries"])
    assert said["seconds"] > 0
    text = run("scenarios", "outliers", "--probe", "smoke")[1]
    assert "outliers, smoke: 20 runs, an estimated" in text
    pretrained = json.loads(run("scenarios", "handful_pretrained", "--probe", "smoke", "--json")[1])
    assert pretrained["left_out"] == ["queries", "pretraining"]


def test_several_scenarios_go_each_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # room for the whole of a path
    (tmp_path / "broken.py").write_text(
        "import scenarios\n\n\ndef broken():\n"
        "    arms = scenarios.product('ALDigits-v0', ['random'], {'initial_size': 2_000, 'budget': 0})\n"
        "    sizes = {'smoke': scenarios.Grid(arms, 1, '')}\n"
        "    pictures = (scenarios.Picture('curve', '', ('random',)),)\n"
        "    return scenarios.Scenario('broken', 'b', 'c', 's', sizes, pictures)\n"
    )
    broken = f"{tmp_path / 'broken.py'}:broken"
    several = ("run", broken, "outliers", "full_data", "--size", "smoke", "--seeds", "1", "--threads", "1")
    code, out, err = run(*several, "--out", str(tmp_path / "out"))
    assert code == 1
    assert "initial_size=2000" in err
    last = [line for line in out.splitlines() if line.strip()][-3:]
    assert [line.split()[1:3] for line in last[1:]] == [["10", "0"], ["5", "0"]]
    assert "all" in last[0]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"outliers-smoke", "full_data-smoke"}
    rows = json.loads(run(*several, "--out", str(tmp_path / "out"), "--json")[1])
    assert [(row["scenario"], row["failed"]) for row in rows[1:]] == [("outliers", 0), ("full_data", 0)]


@pytest.mark.parametrize("width", ["60", "36"])
def test_a_narrow_terminal_cuts_no_name(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for command, names in (
        (("envs",), [environment_id(dataset) for dataset in DATASETS]),
        (("envs",), [recipe.title for recipe in RECIPES.values()]),
        (("agents",), agents.names()),
        (("scenarios",), ["default_setting"]),
        (("scenarios", "default_setting"), ["ALFashionMnist-v0", "entropy", "coreset", "module"]),
    ):
        text = run(*command)[1]
        assert all(name in text for name in names)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= int(width)


def test_an_agents_description_is_wrapped_once() -> None:
    text = (
        "One sentence that goes\non here.\n\nArgs:\n    lr: The rate; and\n        its end.\n    b: Two.\n\n"
    )
    assert reflowed(f"{text}Differs: a\nb.") == [
        *("One sentence that goes on here.", "", "Args:", "    lr: The rate; and its end.", "    b: Two."),
        *("", "Differs: a b."),
    ]
    for name in agents.names():
        lines = run("agents", name)[1].splitlines()
        assert max(map(len, lines)) <= 80


def test_data_list_and_verify() -> None:
    assert "cifar10" in run("data", "list")[1]
    assert run("data", "verify", "digits")[0] == 0
    rows = {row["name"]: row for row in json.loads(run("data", "list", "--json")[1])}
    assert rows["digits"]["train_count"] == 1297


@pytest.mark.parametrize("name", querying.usual())
def test_bench_query_compares_with_the_explicit_versions(name: str) -> None:
    assert querying.is_exact(name, 5) is True


def test_bench_query_takes_all_that_train_nothing_and_have_explicit_versions() -> None:
    assert set(querying.usual()) == set(agents.names()) - {*querying.TRAINING, *querying.ASKING}
    assert set(explicit.PICKS) | set(explicit.CHECKS) == set(querying.usual())
    assert not set(explicit.PICKS) & set(explicit.CHECKS)
    assert querying.is_exact(QUICK["core_gcn"], 5) is None


@pytest.mark.parametrize("name", sorted({*explicit.PICKS, *explicit.CHECKS} - {"random"}))
def test_bench_query_notices_other_picks(name: str) -> None:
    view = synthetic_view(**querying.SMALLER.get(name, querying.SMALL), classes=3)
    wrong = view.unlabeled[: view.query_size].tolist()
    assert explicit.agrees(name, view, wrong) is False


def test_bench_query_notices_an_image_that_was_drawn_twice() -> None:
    view = synthetic_view(**querying.SMALL, classes=3)
    free = view.unlabeled[: view.query_size].tolist()
    assert explicit.agrees("random", view, free) is True
    assert explicit.agrees("random", view, [*free[1:], free[1]]) is False
    assert explicit.agrees("random", view, [*free[1:], int(view.labeled[0])]) is False


def test_bench_query_measures_in_a_process_of_its_own() -> None:
    size = ("--pool", "300", "--features", "8", "--query-size", "10")
    code, out, _ = run("bench", "query", *size, "--agents", "kmeans", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["classes"], found["agents"]["kmeans"]["exact"]) == (10, True)
    assert found["agents"]["kmeans"]["seconds"] >= 0


def test_bench_query_prints_reasons_and_measures_what_an_agent_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(querying, "_in_a_process", _measured)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("bench", "query", "--all", "--json")
    assert code == 0
    found = json.loads(out)["agents"]
    assert list(found) == querying.usual()
    assert found["batch_bald"]["query_size"] == 40
    assert found["batch_bald"]["reason"] == querying.REASONS["batch_bald"]
    assert found["bait"]["reason"] == f"{querying.COSTLY['bait']}: {agents.make('bait').cost}."
    assert found["badge"]["reason"] == f"It costs much: {agents.make('badge').cost}."
    assert "reason" not in found["coreset"]
    several = ("bench", "query", "--agents", "bait,coreset,margin:pool=all", "--classes", "10,100")
    listed = json.loads(run(*several, "--json")[1])
    assert [(each["classes"], "bait" in each["agents"]) for each in listed] == [(10, True), (100, True)]
    code, out, _ = run(*several)
    assert code == 0
    assert all(word in out for word in ("10 classes", "100 classes", f"bait: {querying.COSTLY['bait']}"))
    assert "margin:pool=all: It has options of its own" in out
    assert "coreset:" not in out


def _measured(spelled: str, size: dict[str, int], threads: int | None) -> dict[str, object]:
    """Stands for a measurement: bait takes long and badge much, an agent with options is compared with nothing."""
    seconds = 61.0 if spelled == "bait" else 1.0
    exact = None if ":" in spelled else True
    return {"seconds": seconds, "extra_megabytes": 1001.0 if spelled == "badge" else 1.0, "exact": exact}


def test_bench_query_has_reasons_of_agents_that_it_measures() -> None:
    assert {*querying.REASONS, *querying.COSTLY, *querying.SMALLER, *querying.MOST} <= set(querying.usual())
    assert {*querying.TRAINING, *querying.ASKING} <= set(agents.names())


def test_bench_train_says_the_machines_own_limit() -> None:
    tiny = ("--backbone", "convnet", "--batch-size", "8", "--rounds", "1", "--threads", "1", "--json")
    code, out, err = run("bench", "train", *tiny)
    assert code == 0, err
    found = json.loads(out)
    assert 0 < found["images_per_second"] < found["limit_images_per_second"]
    wanted = 1e3 * found["product_teraflops"] / found["gigaflop_per_image"]
    assert found["limit_images_per_second"] == pytest.approx(wanted, rel=0.05)


def test_a_training_step_of_resnet18_costs_three_passes() -> None:
    """0.557 GMAC forward (a published figure): as much twice again backward, less the images' gradient."""
    network = nets.build(
        "resnet18", num_classes=10, channels=3, image_size=(32, 32), generator=torch.Generator()
    )
    work = training_operations(network.train(), torch.zeros(2, 3, 32, 32))
    assert work == pytest.approx(3 * 2 * 0.557e9, rel=0.005)


def test_bench_env() -> None:
    code, out, _ = run("bench", "env", "ALDigitsRidge-v0", "--steps", "3", "--num-envs", "3", "--json")
    found = json.loads(out)
    assert (code, found["threads"], found["steps"] >= 3) == (0, 1, True)
    assert 0 < found["milliseconds_per_step"] <= found["slowest_milliseconds"]
    assert [(row["episodes"], row["agent"]) for row in found["rows"]] == [
        (kind, agent) for agent in ("random", "margin") for kind in ("single", "sync", "batched")
    ]


def test_bench_env_plays_what_is_asked_for() -> None:
    small = ("--set", "pool_size=300", "query_size=5", "budget=10", "ridge_penalty=0.5", "observe=progress")
    given = ("ALDigitsRidge-v0", "--steps", "3", "--agents", "least_confidence", "--num-envs", "2", *small)
    code, out, _ = run("bench", "env", *given, "--json")
    found = json.loads(out)
    assert code == 0
    assert [(row["together"], row["steps"]) for row in found["rows"]] == [(1, 4), (2, 4), (2, 4)]
    for row in found["rows"]:
        assert 0 < row["steps_per_second"] < row["environment_steps_per_second"]
    # One product of 5 rows and one that takes them out of 64 x 64 numbers, the small ones, 200 rows of 10 classes.
    work = 4 * 64 * 64 * 5 + 4 * 64 * 25 + 4 * 64 * 5 * 10 + 2 * 64 * 10 * 200
    assert found["floor"]["operations_per_step"] == work
    words = run("bench", "env", *given)[1]
    assert all(word in words for word in ("batched", "least_confidence", "GFLOP/s"))
    assert "did you mean 'margin'" in error("bench", "env", "ALDigitsRidge-v0", "--agents", "margn")
    mix = (
        "ALMix-v0",
        "--steps",
        "3",
        "--set",
        'datasets=["digits"]',
        "cycles=2",
        "query_size=3",
        "pool_size=100",
    )
    assert json.loads(run("bench", "env", *mix, "--json")[1])["head"] == "ridge"
    assert "has no batch" in run("bench", "env", *mix, "--agents", "margin")[2]
    network = ("ALDigits-v0", "--set", "epochs=1", "width=4", "budget=20", "--steps", "1")
    assert "rows" not in json.loads(run("bench", "env", *network, "--json")[1])
    assert "has no batch" in run("bench", "env", *network, "--agents", "margin")[2]


def test_compare_prints_a_table_and_writes_its_files(tmp_path: Path) -> None:
    out = tmp_path / "here"
    code, text, _ = run("compare", FAKE, "--agents", "random,margin", "--seeds", "3", "--out", str(out))
    assert code == 0
    for word in (
        "agent",
        "labels",
        "accuracy",
        "area",
        "random",
        "margin",
        "undecided",
        str(out / "curve.png"),
    ):
        assert word in text
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    rows = (out / "curves.csv").read_text().splitlines()
    assert rows[0] == "label,agent,seed,cycle,labeled_count,accuracy"
    assert len(rows) == 1 + 2 * 3 * 5


def test_compare_as_json_and_more_seeds_later(tmp_path: Path) -> None:
    base = ("compare", FAKE, "--agents", "random,margin", "--out", str(tmp_path / "o"), "--json")
    first = json.loads(run(*base, "--seeds", "2")[1])
    second = json.loads(run(*base, "--seeds", "2:4")[1])
    both = json.loads(run(*base, "--seeds", "4")[1])
    assert [found["seeds"] for found in (first, second, both)] == [[0, 1], [2, 3], [0, 1, 2, 3]]
    (picture,) = both["pictures"]
    arms = {arm["label"]: arm for arm in picture["arms"]}
    assert arms["random"]["seeds"] == 4
    assert arms["random"]["area_difference"] is None
    assert arms["margin"]["area_difference_seeds"] == 4
    assert both["failed"] == {}
    assert (picture["reference"], picture["against"]) == ("random", {"margin": "random"})
    assert (arms["margin"]["against"], arms["random"]["against"]) == ("random", None)
    assert Path(picture["file"]).exists()


def test_a_later_command_loses_no_curve(tmp_path: Path) -> None:
    base = ("compare", FAKE, "--out", str(tmp_path))
    assert run(*base, "--agents", "random,margin", "--seeds", "2")[0] == 0
    before = (tmp_path / "curves.csv").read_text().splitlines()
    assert run(*base, "--agents", "margin", "--seeds", "1")[0] == 0
    assert (tmp_path / "curves.csv").read_text().splitlines() == before
    assert run(*base, "--agents", "entropy", "--seeds", "1:2")[0] == 0
    after = (tmp_path / "curves.csv").read_text().splitlines()
    assert set(before) < set(after)
    assert len(after) == len(before) + 5


def test_a_failed_reference_is_not_replaced(tmp_path: Path) -> None:
    base = (
        "compare",
        FAKE,
        "--agents",
        "random,margin@fail_at=2,entropy",
        "--seeds",
        "2",
        "--out",
        str(tmp_path),
    )
    code, text, _ = run(*base, "--reference", "margin@fail_at=2")
    assert code == 1
    assert "no differences: the reference arm has no finished run" in text
    code, text, _ = run(*base, "--reference", "margin@fail_at=2", "--json")
    (picture,) = json.loads(text)["pictures"]
    assert picture["reference"] is None
    assert picture["against"] == {}
    assert all(arm["area_difference"] is None for arm in picture["arms"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("meta.json", "{}"),
        ("meta.json", "[1]"),
        ("meta.json", "garbage"),
        ("curve.csv", "cycle,labeled_count,correct,total,accuracy,reward\n"),
        ("curve.csv", ""),
    ],
)
@pytest.mark.parametrize("recorded", [True, False])
def test_one_damaged_run_hides_no_other(tmp_path: Path, file: str, content: str, recorded: bool) -> None:
    base = ("compare", FAKE, "--agents", "random,margin", "--seeds", "2", "--out", str(tmp_path))
    assert run(*base)[0] == 0
    whole = (tmp_path / "curves.csv").read_text()
    folder = next(tmp_path.glob("margin-seed1-*"))
    curve = (folder / "curve.csv").read_text()
    (folder / file).write_text(content)
    if not recorded:
        (folder / "record.json").write_text("{}")
    code, text, err = run(*base)
    assert "random" in text
    if file == "curve.csv" and recorded:
        assert code == 0
        assert (folder / "curve.csv").read_text() == curve
        assert (tmp_path / "curves.csv").read_text() == whole
    else:
        assert code == 1
        assert "margin seed 1 failed" in err
        assert "Traceback" not in err
        assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1 + 3 * 5


@pytest.mark.parametrize(
    "damage", [lambda s: s[:-3], lambda s: s.rsplit("\n", 2)[0], lambda s: s.replace("0.", "1.")]
)
def test_a_damaged_curve_is_written_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    base = ("compare", FAKE, "--agents", "random", "--seeds", "1", "--out", str(tmp_path))
    assert run(*base)[0] == 0
    (file,) = tmp_path.glob("random-seed0-*/curve.csv")
    whole = file.read_text()
    file.write_text(damage(whole))
    assert file.read_text() != whole
    assert run(*base)[0] == 0
    assert file.read_text() == whole


@pytest.mark.parametrize("content", ['{"a": 1}', "[1]", "x", '{"arms": 1, "facts": 1, "threads": 1}'])
def test_damaged_settings_are_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    assert "delete it" in error("compare", FAKE, "--agents", "random", "--out", str(tmp_path))


def test_a_group_without_a_command_shows_its_help() -> None:
    for arguments in ([], ["data"], ["bench"]):
        code, _, err = run(*arguments)
        assert code == 2
        assert "Commands" in err
        assert "alenv: Usage" not in err


def test_changed_files_are_a_changed_configuration(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "e.npy"
    settings = ("initial_size=10", "query_size=10", "budget=10", f"embedding={file}")
    base = ["compare", "ALDigitsRidge-v0", "--seeds", "1", "--out", str(out)]
    base += [part for pair in settings for part in ("--set", pair)]
    np.save(file, np.random.default_rng(0).random((1797, 5), np.float32))
    assert run(*base, "--agents", "random")[0] == 0
    np.save(file, np.random.default_rng(1).random((1797, 5), np.float32))
    assert "were begun before embedding file e.npy changed; choose" in error(*base, "--agents", "random")
    curves = []
    for place in (out, tmp_path / "fresh"):  # another agent may join, but not on the old first cycle
        base[base.index("--out") + 1] = str(place)
        assert run(*base, "--agents", "margin")[0] == 0
        (curve,) = place.glob("margin-seed0-*/curve.csv")
        curves.append(curve.read_text())
    assert curves[0] == curves[1]


def test_another_policy_under_the_same_path_is_refused(tmp_path: Path) -> None:
    base = ["compare", "ALDigitsRidge-v0", "--seeds", "1", "--out", str(tmp_path / "out")]
    base += ["--set", "budget=10", "--agents", f"policy={tmp_path / 'mine'}"]
    for seed, code in ((0, 0), (1, 2)):
        env = agents.ChooseStrategy(gym.make("ALDigitsRidge-v0", observe="progress"), ["random", "margin"])
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        agents.save_policy(PPO("MlpPolicy", env, n_steps=4, batch_size=4, seed=seed), tmp_path / "mine")
        found, _, err = run(*base)
        assert found == code, err
    assert "were begun before the policy changed; choose another folder" in err


def test_a_missing_head_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "spell it ll4al@joint=loss_prediction" in error(
        "compare", "ALDigits-v0", "--agents", "ll4al", *out
    )
    assert "leave the agent out" in error("compare", "ALDigitsRidge-v0", "--agents", "random,ll4al", *out)
    assert "spell it coreset+ll4al@joint=loss_prediction" in error(
        "compare", "ALDigits-v0", "--agents", "coreset+ll4al", *out
    )
    assert not (tmp_path / "out").exists()


def test_the_default_folder_is_readable() -> None:
    code, _, _ = run("compare", FAKE, "--agents", "random", "--seeds", "1", "--set", "lr=0.2")
    assert code == 0
    assert Path("runs/fakeal-v0-lr=0.2/curve.png").exists()


def test_one_set_takes_several_settings(tmp_path: Path) -> None:
    base = ("compare", FAKE, "--agents", "random", "--seeds", "1", "--out", str(tmp_path / "o"))
    assert run(*base, "--set", "lr=0.2", "budget=5")[0] == 0
    assert "begun with lr=0.2, not lr=0.3" in error(*base, "--set", "lr=0.3", "--set", "budget=5")
    assert "begun with budget=5, not budget=10" in error(*base, "--set", "lr=0.2", "budget=10")
    assert "given twice" in error(*base, "--set", "lr=0.2", "lr=0.3")
    assert "write NAME=VALUE" in error(*base, "--set", "lr=0.2", "margin")
    said = error("bench", "env", "ALDigitsRidge-v0", "--set", "query_size=5", "budget=7")
    assert "budget=7" in said
    assert "query_size=5" in said


def test_failed_runs_are_listed_and_do_not_stop_the_others(tmp_path: Path) -> None:
    arguments = ("compare", FAKE, "--agents", "random", "--out", str(tmp_path / "o"), "--seeds", "2")
    code, _, err = run(*arguments, "--set", "fail_at=2")
    assert code == 1
    assert "random seed 0 failed: ZeroDivisionError: a bug in the fake" in err
    assert "random seed 1 failed" in err
    assert "the same command tries the failed runs again" in err
    assert "Traceback (" not in err


def test_a_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    base = ("compare", FAKE, "--seeds", "1", "--out", str(tmp_path))
    assert run(*base, "--agents", "random", "--set", "lr=0.1")[0] == 0
    said = error(*base, "--agents", "random", "--set", "lr=0.2")
    assert "begun with lr=0.1, not lr=0.2" in said
    # another agent in the same folder must meet the same environment
    assert "begun with lr=0.1, not lr=0.2" in error(*base, "--agents", "margin", "--set", "lr=0.2")
    assert "begun with threads" in error(*base, "--agents", "random", "--set", "lr=0.1", "--threads", "3")
    assert run(*base, "--agents", "random,margin", "--set", "lr=0.1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["comparee"], "did you mean 'compare'?"),
        (["compare", FAKE, "--agents", "randm"], "did you mean 'random'?"),
        (["compare", "ALDigit-v0", "--agents", "random"], "did you mean 'ALDigits-v0'?"),
        (
            ["compare", "ALNope-v0", "--agents", "random"],
            "There is no environment 'ALNope-v0'; did you mean 'AL",
        ),
        (["bench", "env", "alenv:ALDigitRidge-v0"], "did you mean 'ALDigitsRidge-v0'?"),
        (["compare", FAKE, "--agents", "random", "--out", ""], "it is empty; name a folder"),
        (["run", "default_setting", "--out="], "it is empty; name a folder"),
        (
            ["compare", "ALImageFolder-v0", "--agents", "random", "--set", "root="],
            "says no value; write root=VALUE",
        ),
        (["compare", FAKE, "--agents", "random", "--set", "device=7"], "There is no device '7'"),
        (["compare", "ALDigit-v0", "--agents", "random"], "ALDigits"),
        (["compare", FAKE, "--agents", "random", "--set", "id=x"], "id="),
        (["compare", FAKE, "--agents", "random@id=3"], "id="),
        (["compare", FAKE, "--agents", "random", "--set", "max_episode_steps=1"], "max_episode_steps="),
        (["bench", "env", "ALDigitsRidge-v0", "--set", "id=x"], "id="),
        (["compare", "nothing:ALDigits-v0", "--agents", "random"], "nothing"),
        (["compare", "CartPole-v1", "--agents", "random"], "no active-learning environment"),
        (["bench", "env", "CartPole-v1"], "no active-learning environment"),
        (
            ["compare", "ALDigits-v0", "--agents", "random", "--set", "quer_size=3"],
            "did you mean 'query_size'?",
        ),
        (["compare", "ALDigits-v0", "--agents", "random", "--set", "budget=7"], "multiple of query_size"),
        (["compare", FAKE, "--agents", "random", "--set", "lr"], "write NAME=VALUE"),
        (["compare", FAKE, "--agents", "random", "--set", "lr=1", "--set", "lr=2"], "was given twice"),
        (["compare", FAKE, "--agents", "random", "--seeds", "0"], "a range such as 3:8"),
        (["compare", FAKE, "--agents", "random", "--seeds", "x"], "a range such as 3:8"),
        (["compare", FAKE, "--agents", "random", "--seeds", "1e9"], "a range such as 3:8"),
        (["compare", FAKE, "--agents", "random", "--seeds", "9" * 30], "at most 10,000 seeds"),
        (["compare", FAKE, "--agents", "random,random"], "names an agent twice"),
        (["compare", FAKE, "--agents", ","], "names no agent"),
        (["compare", FAKE, "--agents", "random", "--reference", "margin"], "choose one of"),
        (["compare", FAKE], "Missing option '--agents'; see alenv compare --help."),
        (["compare", FAKE, "--agents", "random", "--jobs", "0"], "alenv compare --help"),
        (["run", "default_settin"], "did you mean 'default_setting'?"),
        (["run"], "or give --all"),
        (["run", "--all", "vaal"], "give either"),
        (["run", "vaal", "outliers", "--option", "dataset=svhn"], "several scenarios"),
        (["run", "vaal", "outlers"], "did you mean 'outliers'?"),
        (["scenarios", "--probe", "small"], "name one"),
        (["scenarios", "warm_cold", "--option", "dataset=svnh"], "did you mean 'svhn'?"),
        (["run", "default_setting", "--size", "smal"], "did you mean 'small'?"),
        (["run", "default_setting", "--option", "uncertaint=margin"], "did you mean 'uncertainty'?"),
        (["run", "default_setting", "--option", "uncertainty=margins"], "did you mean 'margin'?"),
        (["scenarios", "default"], "did you mean 'default_setting'?"),
        (["agents", "bagde"], "did you mean 'badge'?"),
        (["data", "verify", "cifr10"], "did you mean 'cifar10'?"),
        (["data", "add", "cifar10", "--from", "/nowhere"], "/nowhere"),
        (["bench", "train", "--backbone", "resnet81"], "resnet18"),
        (["bench", "query", "--classes", "10,1"], "at least 2"),
        (["bench", "query", "--classes", "10,"], "separated by commas"),
        (["bench", "query", "--classes", "10,10"], "twice"),
    ],
)
def test_every_error_is_one_sentence(arguments: list[str], said: str) -> None:
    assert said in error(*arguments)


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = error("compare", FAKE, "--agents", "random", "--out", str(tmp_path / "file"))
    assert "cannot be written" in said


def test_a_foreign_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    foreign = importlib.util.spec_from_file_location("agents", tmp_path / "agents" / "__init__.py")
    assert foreign is not None
    foreign.submodule_search_locations = [str(tmp_path / "agents")]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: foreign if name == "agents" else found(name)
    )
    assert str(tmp_path / "agents") in error("envs")


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from scenarios.play import runner

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.Playthrough, "step", interrupted)
    code, _, err = run("compare", FAKE, "--agents", "random", "--seeds", "1", "--out", str(tmp_path))
    assert code == 130
    assert "repeated, the command goes on from what each run has finished" in err
    monkeypatch.undo()
    code, _, _ = run("compare", FAKE, "--agents", "random", "--seeds", "1", "--out", str(tmp_path))
    assert code == 0
