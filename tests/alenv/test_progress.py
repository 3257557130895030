"""Progress: who hears of it and how often, that it costs next to nothing, and what a training came to."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator

import gymnasium as gym
import pytest
import torch
from rich.progress import Progress
from torch import nn

from alenv import ActiveLearningEnv, core, fitting, progress
from alenv.progress import EPOCHS, Phase, Status
from alenv.runtime import Runtime

TINY = {
    "backbone": "convnet",
    "width": 4,
    "epochs": 3,
    "batch_size": 16,
    "initial_size": 40,
    "query_size": 10,
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Status]]:
    """Hears of every advance, however fast they follow each other."""
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    heard: list[Status] = []
    with progress.listening(heard.append):
        yield heard


def made(**settings: object) -> gym.Env:
    return gym.make("ALDigits-v0", observe="progress", **{**TINY, "budget": 20, **settings})


def last(told: list[Status], title: str) -> Status:
    return [status for status in told if status.title == title and not status.over][-1]


def test_training_evaluation_and_inference_say_how_far_they_are(told: list[Status]) -> None:
    env = made()
    told.clear()
    env.reset(seed=0)
    trained = [status for status in told if status.title == "training"]
    assert [status.unit for status in trained] == [EPOCHS] * len(trained)
    assert [round(status.done * 3) for status in trained] == [
        *range(10),
        9,
    ]  # 3 epochs of 3 steps, and the end
    assert (trained[-1].over, trained[-1].total, trained[-1].images) == (True, 3, 120)
    evaluated = last(told, "evaluation")
    assert (evaluated.done, evaluated.total) == (500, 500)
    told.clear()
    core(env).view.probabilities()
    assert (last(told, "inference").done, last(told, "inference").total) == (1297, 1297)
    assert [status.over for status in told] == [False] * 7 + [True]


def test_embedding_says_how_far_it_is(
    told: list[Status], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path_factory.mktemp("empty")))
    gym.make("ALDigitsRidge-v0", embedding_size=7)
    found = last(told, "embedding digits")
    assert (found.done, found.total, found.unit) == (1797, 1797, "images")


def test_a_network_of_a_strategy_is_named_by_its_title(told: list[Status]) -> None:
    network = nn.Linear(2, 1)
    batches = [(torch.ones(4, 2), torch.ones(3, 2))] * 2
    fitting.fit(
        network,
        lambda batch, moment: network(batch[0]).mean(),
        lambda epoch: batches,
        epochs=2,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        runtime=Runtime("cpu", "fp32", 1),
        title="query network",
    )
    assert {status.title for status in told} == {"query network"}
    assert (told[-1].done, told[-1].images) == (2, 28)


def test_the_words_of_a_status() -> None:
    status = Status("training", EPOCHS, 12.5, 200, 6200, 10.0)
    assert str(status) == "training, epoch 13 of 200, 620 images/s, 2:30 left"
    assert (
        str(Status("inference", "images", 50, 100, 50, 1.0))
        == "inference, images 50 of 100, 50 images/s, 0:01 left"
    )
    assert str(Status("query", "images", 0, 0, 0, 9.0)) == "query"
    assert pickle.loads(pickle.dumps(status)) == status


def test_reports_are_a_few_per_second() -> None:
    heard: list[Status] = []
    with progress.listening(heard.append), progress.progress("training", 10**6, EPOCHS) as phase:
        end = time.perf_counter() + 1.0
        while time.perf_counter() < end:
            phase(1)
    assert 3 <= len(heard) <= 6
    assert heard[-1].over


def test_a_phase_costs_microseconds() -> None:
    def seconds(count: int = 2000) -> float:
        start = time.perf_counter()
        for _ in range(count):
            with progress.progress("inference", 1):
                progress.advance(1)
        return (time.perf_counter() - start) / count

    assert min(seconds() for _ in range(5)) < 50e-6  # a ridge step takes 1 to 5 ms; measured: 5 microseconds


def test_an_inner_phase_gives_way_to_the_outer_one(told: list[Status]) -> None:
    with progress.progress("query", 0), progress.progress("inference", 2) as inner:
        inner(1)
    assert [(status.title, status.over) for status in told] == [
        ("query", False),
        ("inference", False),
        ("inference", False),
        ("inference", True),
        ("query", False),
        ("query", True),
    ]


def test_a_bar_is_for_a_person_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Progress] = []
    monkeypatch.setattr(Progress, "start", lambda bar: started.append(bar))  # noqa: PLW0108  (a list binds to nothing)
    for watched, seconds, count in ((True, 2.0, 0), (False, 10.0, 0), (True, 10.0, 1)):
        monkeypatch.setattr(progress, "watched", lambda watched=watched: watched)
        bar = progress.Bar()
        bar(Status("training", EPOCHS, 1, 9, 10, seconds))
        assert len(started) == count
    bar(Status("training", EPOCHS, 2, 9, 20, 11.0))
    assert len(started) == 1
    (task,) = started[0].tasks
    assert (task.description, task.completed, task.total) == ("training", 2, 9)
    assert task.fields["pace"] == "2 images/s, 0:38 left"
    bar(Status("training", EPOCHS, 9, 9, 90, 12.0, over=True))
    assert bar._shown is None


def test_silence_in_a_pipe(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    made().reset(seed=0)
    assert capfd.readouterr() == ("", "")


def test_a_training_is_recorded_where_somebody_asks() -> None:
    env = made(lr=0.05, schedule="constant")
    with progress.recording() as found:
        env.reset(seed=0)
    assert (found.steps, found.learning_rate) == (9, 0.05)
    assert found.loss is not None
    assert found.accuracy is not None
    assert 0 < found.loss < 3
    assert (found.accuracy * 40) % 1 == pytest.approx(0)
    assert set(found.numbers()) == {"train_loss", "train_accuracy", "learning_rate", "optimizer_steps"}
    assert progress.training() is None
    with progress.recording() as found:
        gym.make("ALDigitsRidge-v0", observe="progress").reset(seed=0)
    assert found.numbers() == {}


def test_the_accuracy_of_the_last_epoch_is_recorded() -> None:
    """With a constant rate, the first epoch is the same however many follow; later ones know the images better."""
    recorded = []
    for epochs in (1, 2, 12):
        env = made(lr=0.1, schedule="constant", epochs=epochs, augment=False, width=16)
        with progress.recording() as found:
            env.reset(seed=0)
        recorded.append(found.accuracy)
    first, second, twelfth = recorded
    assert first is not None
    assert second is not None
    assert twelfth is not None
    assert first < second < twelfth


def test_who_listens_changes_nothing(told: list[Status]) -> None:
    def weights(env: gym.Env) -> list[torch.Tensor]:
        env.reset(seed=0)
        inner = core(env)
        assert isinstance(inner, ActiveLearningEnv)
        assert set(inner.costs) == {
            *("train_seconds", "evaluate_seconds", "inference_seconds", "inferred_images"),
            "peak_memory_megabytes",
        }
        return list(inner.get_state()["learner"]["classifier"].values())

    with progress.recording():
        heard = weights(made())
    with progress.listening(lambda status: None):
        alone = weights(made())
    assert told
    assert all(torch.equal(one, two) for one, two in zip(heard, alone, strict=True))


def test_a_phase_without_a_title_is_not_told(told: list[Status]) -> None:
    with progress.progress("", 3) as phase:
        phase(1)
    assert isinstance(phase, Phase)
    assert told == []
