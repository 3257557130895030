"""The environment: it owns everything that is equal for all agents, and lets them choose the next query."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from alenv import data, observation, pool, queries, rewards, runtime, state
from alenv.assembly import Split, assemble, load_dataset
from alenv.episode import Episode
from alenv.errors import (
    EpisodeOver,
    InvalidQuery,
    InvalidState,
    MissingHead,
    NotReset,
    PeekNotAllowed,
    UnknownName,
    unknown,
)
from alenv.evaluation import Evaluation, evaluate
from alenv.initial import InitialSets
from alenv.learners.protocol import Predictions
from alenv.presets import plain, resolve
from alenv.progress import progress
from alenv.registration import environment_id
from alenv.scores import Facts
from alenv.settings import Protocol
from alenv.spaces import Query
from alenv.view import View

Indices = NDArray[np.int64]


class ActiveLearningEnv(gym.Env[Any, Any]):
    """Pool-based active learning: a step buys the labels of a query and retrains the classifier.

    Observation:
        ``observe="candidates"`` (default): a Dict over K unlabeled candidates, drawn afresh in every cycle:
        ``stats`` float32 (27,) in [-1, 1], ``indices`` int64 (K,), ``features`` float32 (K, D) of unit length,
        ``probabilities`` float32 (K, C), and ``predicted_loss`` or ``labeled_score`` float32 (K,) where the
        joint objective gives them. ``"stats"``: that vector alone. ``"progress"``: float32 (7,), which needs no
        inference. Everything else is in ``env.unwrapped.view``.

    Action:
        ``Query(N, B)``: int64 (B,) distinct unlabeled pool indices. Labeled or repeated indices are replaced by
        random unlabeled ones and counted in ``info["replaced"]``, or refused with ``on_invalid="raise"``.

    Reward:
        ``"accuracy"`` after the retraining, in [0, 1]; ``"gain"``, its difference to the cycle before;
        ``"auc_gain"``, the gain times the share of the cycles that still profit from it, which sums to the area
        under the curve (mean accuracy after queries 1 to T) less the initial accuracy. Test accuracy as in the
        paper, or validation accuracy with ``validation=n``.

    Info:
        ``cycle``, ``labeled_count``, ``class_counts`` int64 (C,); ``test_accuracy`` unless ``test=False``;
        ``validation_accuracy`` with a split; after a step ``query`` int64 (B,) as bought, and ``replaced``.

    Episode end:
        ``terminated`` when the budget is spent; never truncated.

    Arguments:
        Every field of ``Recipe``, ``Protocol`` and ``Options``; ``joint_...`` options of the joint objective.

    Attributes:
        recipe: How the classifier is trained.
        protocol: What is bought when, with the budget resolved.
        options: The environment's other settings, with the number of candidates resolved.
        runtime: The resolved device, precision and threads.
        rows: int64 (N,), the dataset row of each pool index.
        paths: The file of each pool index, for image folders; else None.
        class_names: One name per class.
        dataset_name: What the dataset is loaded by.
        dataset_checksum: Checksum of the stored images and labels.
        dataset_source: Where they came from.
        dataset_found: What was found in an image folder, in one line; None for other datasets.
        test_size: Number of test images.
        image_shape: (H, W, C) of every image.

    Source: "Best Practices in Pool-based Active Learning for Image Classification", sections 2 and 3.
    Version history: v0, the first.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium declares it so)
        "render_modes": ["rgb_array"],
        "render_fps": 1,
    }

    def __init__(
        self, dataset: str, recipe: str = "paper", render_mode: str | None = None, **settings: Any
    ) -> None:
        """Loads the dataset and checks every setting; trains nothing.

        Args:
            dataset: A key of ``alenv.presets.DATASETS``.
            recipe: A key of ``alenv.presets.RECIPES``.
            render_mode: None or ``"rgb_array"``.
            **settings: See the class.

        Raises:
            AlenvError: A setting does not exist, cannot be trained or does not fit the dataset.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown("render mode", render_mode, self.metadata["render_modes"])
        resolved = resolve(dataset, recipe, settings)
        options = resolved.options
        self.recipe, self.render_mode = resolved.recipe, render_mode
        self._id = environment_id(dataset, recipe)
        self.runtime = runtime.resolve(
            options.device, self.recipe.precision, options.threads, options.default_device
        )
        loaded = load_dataset(dataset, options)
        task = pool.task(loaded, resolved.protocol.outliers)
        self.class_names, self.dataset_checksum = task.class_names, loaded.checksum
        self.dataset_name, self.dataset_source = loaded.name, loaded.source
        self.test_size = len(task.test_labels)
        self.dataset_found = data.found_in(loaded)
        self.image_shape = loaded.image_shape
        self.rows, validation_rows = pool.build(task.labels, task.num_classes, resolved.protocol)
        self.paths = None if loaded.paths is None else tuple(loaded.paths[row] for row in self.rows)
        self.protocol = resolved.protocol.fitted(len(self.rows))
        room = len(self.rows) - self.protocol.initial_size
        candidates = queries.candidate_count(options.candidates, self.protocol.query_size, room)
        self.options = dataclasses.replace(options, candidates=candidates)
        spelling = f'"{self._id}"' if options.root is None else f'"{self._id}", root={str(options.root)!r}'
        facts = Facts(self.recipe, self.protocol, self.runtime, task.num_classes, candidates, spelling)
        parts = assemble(loaded, task, self.rows, validation_rows, facts, options.device)
        self._learner, self._oracle, self._images = parts.learner, parts.oracle, parts.images
        self._test, self._held_out, self._view = parts.test, parts.held_out, parts.view
        self._initial_sets = InitialSets(
            self.protocol, self.rows, self.paths, options.root or "", parts.images.embedding, parts.oracle
        )
        self.rows.setflags(write=False)
        self.action_space = Query(len(self.rows), self.protocol.query_size)
        self.observation_space = observation.space(
            options.observe,
            pool_size=len(self.rows),
            candidates=candidates,
            feature_size=self._learner.feature_size,
            num_classes=task.num_classes,
            scores=self._learner.provides,
        )
        self._fingerprint = state.Fingerprint(
            self.recipe,
            self.protocol,
            self.dataset_checksum,
            len(self.rows),
            task.num_classes,
            self.test_size if options.test else 0,
        )
        self._spec: EnvSpec | None = None
        self._episode: Episode | None = None
        self._tested: Predictions | None = None  # of the test images, after the last training
        self._previous: dict[str, Any] | None = None  # state of last cycle's learner

    @property
    def spec(self) -> EnvSpec | None:
        """What ``gym.make`` was given, as JSON values."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.kwargs = {name: plain(value) for name, value in spec.kwargs.items()}
        self._spec = spec

    # ---- what can be read -----------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """What an agent may read of the pool.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._current()
        return self._view

    @property
    def offers(self) -> frozenset[str]:
        """Names of what the view can give; see ``alenv.offers``."""
        return self._view.offers

    @property
    def ledger(self) -> Indices:
        """Pool indices of all labels that were ever revealed in this episode, ascending, int64 (n,).

        They are those of ``view.labeled`` unless the episode went back to an earlier state.
        """
        self._current()
        return self._oracle.ledger()

    @property
    def key(self) -> int:
        """The key of the episode, from which every random stream is derived; ``NotReset`` before the first."""
        return self._current().key

    @property
    def costs(self) -> dict[str, float]:
        """Seconds of the last training and evaluation, of the inference that was asked for since, peak memory (MB)."""
        return {**self._view._costs, "peak_memory_megabytes": self.runtime.peak_memory()}

    @property
    def test_correct(self) -> int:
        """Rightly classified test images after the last cycle.

        Raises:
            NotReset: Before the first episode.
            MissingHead: The environment was made with ``test=False``.
        """
        episode = self._current()
        if not self.options.test:
            raise MissingHead("Test accuracy is not measured with test=False; leave that setting out.")
        return episode.test_correct[-1]

    @property
    def evaluation(self) -> Evaluation | None:
        """What the last cycle's outputs on the test set say by class; as hidden from agents as test accuracy is.

        None after a state was restored, which trains and evaluates nothing, and with ``test=False``.

        Raises:
            NotReset: Before the first episode.
        """
        self._current()
        if self._tested is None:
            return None
        return evaluate(self._tested, self._test.labels, len(self.class_names))

    def _current(self) -> Episode:
        if self._episode is None:
            raise NotReset(
                "The environment was used before its first reset, or after one that was interrupted; call "
                "env.reset(seed=0) first."
            )
        return self._episode

    # ---- the Gymnasium API ----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode: labels the initial set and trains on it.

        Args:
            seed: Decides the whole episode; None goes on from the last seed.
            options: ``{"state": s}`` restores what ``get_state`` gave, without training.

        Raises:
            InvalidState: The state belongs to another environment, cannot be read, cannot be one of an episode here, or
                goes back behind labels that were revealed since (see ``allow_peek``).
            UnknownName: There is no such option.
        """
        options = options or {}
        for name in options:
            if name != "state":
                raise unknown("reset option", name, ["state"])
        restored = self._load(options["state"]) if "state" in options else None
        super().reset(seed=seed)
        key = int(self.np_random.integers(2**63))  # drawn for a restored state too: the stream stays in step
        if restored is not None:
            self._restore(*restored, copy.deepcopy(options["state"]["previous"]))
            return self._view.observation(self.options.observe), self._info()
        self._episode = None  # an interrupted reset leaves no half of an episode behind
        with self.runtime.active():
            initial = self._initial_sets.of(key)
        self._oracle.begin(key)
        episode = Episode(key, initial, self._oracle.reveal(initial), len(initial))
        with self.runtime.active():
            self._learner.begin(key)
        self._train(episode, None)
        return self._view.observation(self.options.observe), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Buys the labels of a query, retrains, and measures.

        Args:
            action: int64 (B,) pool indices.

        Returns:
            Observation, reward, terminated, truncated (always False), info.

        Raises:
            NotReset: Before the first ``reset``.
            EpisodeOver: The budget is spent.
            InvalidQuery: The action is outside the space, or with ``on_invalid="raise"`` names a labeled or a
                repeated index. The state is unchanged.
        """
        episode = self._current()
        self.check_budget()
        query, replaced = self._read(action, episode)
        before = self._learner.get_state()
        labels = self._oracle.reveal(query)
        try:
            self._train(episode.bought(query, labels, replaced), before)
        except BaseException:  # interrupted training must not leave half a cycle behind
            self._oracle.hide(query)
            self._put_back(before)
            raise
        over = self._current().cycle == self.protocol.cycles
        info = self._info() | {"query": query.copy(), "replaced": replaced}
        return (
            self._view.observation(self.options.observe),
            self._reward(self._current()),
            over,
            False,
            info,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """Returns the picture of the cycle, uint8 (600, 1000, 3), or None without ``render_mode``.

        Raises:
            NotReset: Before the first ``reset``.
        """
        if self.render_mode is None:
            return None
        return self.picture(self._current())

    def picture(self, episode: Episode) -> NDArray[np.uint8]:
        """Draws an episode of this environment; see ``render``."""
        from alenv import render  # noqa: PLC0415  (matplotlib loads only where a picture is wanted)

        last = episode.labeled[-self.protocol.query_size :] if episode.cycle else episode.labeled
        last = last[-render.SHOWN :]
        return render.draw(
            episode,
            title=self._id,
            accuracies=self._accuracies(episode),
            query_size=self.protocol.query_size,
            images=self._images.raw(torch.tensor(last, device=self._images.device)).cpu().numpy(),
            class_names=self.class_names,
        )

    def _accuracies(self, episode: Episode) -> tuple[str, list[float]]:
        if self.options.test:
            return "test", [right / self.test_size for right in episode.test_correct]
        return "validation", [right / self.protocol.validation for right in episode.validation_correct]

    # ---- state and peeking ----------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Returns the episode and the weights as tensors and scalars, loadable weights-only.

        Raises:
            NotReset: Before the first ``reset``.
        """
        episode = self._current().get_state()
        self._oracle.saved()
        return {
            "version": state.VERSION,
            "environment": self._fingerprint.as_dict(),
            "episode": episode,
            "revealed": torch.from_numpy(self._oracle.ledger()),
            "learner": copy.deepcopy(self._learner.get_state()),  # a learner may share what it never changes
            "previous": copy.deepcopy(self._previous),
        }

    def peek(self, queries: Any) -> NDArray[np.float64]:
        """Returns the reward that each query would earn now, bit for bit, and changes nothing.

        Args:
            queries: A sequence of int64 (B,) queries, each legal or replaced as ``step`` would.

        Returns:
            float64 (len(queries),).

        Raises:
            NotReset: Before the first ``reset``.
            EpisodeOver: The budget is spent.
            InvalidQuery: A query is not one that ``step`` would take.
            PeekNotAllowed: The environment was made without ``allow_peek=True`` or without a validation split.
        """
        self.check_peek()
        assert self._held_out is not None, "peek is not allowed without it"
        episode = self._current()
        self.check_budget()
        try:
            given = list(queries)
        except TypeError as error:
            raise InvalidQuery(f"peek was given {queries!r}; give a sequence of queries.") from error
        legal = [self._read(query, episode)[0] for query in given]
        before = self._learner.get_state()
        earned = []
        try:
            for query in legal:
                trial = episode.bought(query, self._oracle.answer(query), 0)
                with self.runtime.active():
                    self._learner.fit(self._images, trial.labeled, trial.labels, trial.cycle + 1)
                    trial = trial.measured(None, self._measured(self._held_out)[0])
                earned.append(self._reward(trial))
                self._put_back(before)
        except BaseException:
            self._put_back(before)
            raise
        return np.array(earned, dtype=np.float64)

    # ---- one cycle ------------------------------------------------------------------------------------------

    def _train(self, episode: Episode, previous: dict[str, Any] | None) -> None:
        """Fits the learner to an episode's labels, measures it, and makes it the current episode."""
        start = time.perf_counter()
        with self.runtime.active():
            self._learner.fit(self._images, episode.labeled, episode.labels, episode.cycle + 1)
            trained = time.perf_counter()
            held_out = None if self._held_out is None else self._measured(self._held_out)[0]
            correct, tested = self._measured(self._test) if self.options.test else (None, None)
        self._adopt(episode.measured(correct, held_out), previous, tested)
        self._view._costs["train_seconds"] = trained - start
        self._view._costs["evaluate_seconds"] = time.perf_counter() - trained

    def _adopt(
        self, episode: Episode, previous: dict[str, Any] | None, tested: Predictions | None = None
    ) -> None:
        self._episode, self._previous, self._tested = episode, previous, tested
        self._view._renew(episode, previous)
        self._view._costs.update(inference_seconds=0.0, inferred_images=0.0)

    def _measured(self, split: Split) -> tuple[int, Predictions]:
        """Returns how many images of a split are classified rightly, and the outputs that say so."""
        with progress("evaluation", len(split.labels)):
            found = self._learner.predict(split.images)
            found = found if isinstance(found, Predictions) else Predictions(found)
            return int((found.classes == split.labels).sum()), found

    def _reward(self, episode: Episode) -> float:
        if self._held_out is None:
            right, total = episode.test_correct, self.test_size
        else:
            right, total = episode.validation_correct, len(self._held_out.labels)
        return rewards.of(self.options.reward, right, total, self.protocol.cycles)

    def _info(self) -> dict[str, Any]:
        episode = self._current()
        info: dict[str, Any] = {
            "cycle": episode.cycle,
            "labeled_count": len(episode.labeled),
            "class_counts": episode.class_counts(len(self.class_names)),
        }
        if self.options.test:
            info["test_accuracy"] = episode.test_correct[-1] / self.test_size
        if self._held_out is not None:
            info["validation_accuracy"] = episode.validation_correct[-1] / len(self._held_out.labels)
        return info

    # ---- queries and candidates -----------------------------------------------------------------------------

    def check_budget(self) -> None:
        """Raises ``EpisodeOver`` where the budget is spent, so that there is no next step."""
        if self._current().cycle >= self.protocol.cycles:
            raise budget_spent(self.protocol)

    def check_peek(self) -> None:
        """Raises ``PeekNotAllowed`` where the settings do not allow to peek."""
        if not self.options.allow_peek or self._held_out is None:
            raise PeekNotAllowed(
                "peek reads labels that were not bought; make the environment with allow_peek=True and a "
                "validation split (validation=n)."
            )

    def _read(self, action: Any, episode: Episode) -> tuple[Indices, int]:
        """Returns a legal query and how many of its indices were replaced."""
        size = len(self.rows)
        query = queries.parse(action, size, self.protocol.query_size)
        return queries.legalize(query, episode, size, refuse=self.options.on_invalid == "raise")

    # ---- restoring ------------------------------------------------------------------------------------------

    def _load(self, saved: Any) -> tuple[Episode, Indices]:
        """Checks a state and gives its weights to the learner; a state that is refused changes nothing."""
        episode, revealed = state.check(saved, self._fingerprint)
        with self.runtime.active():
            initial = self._initial_sets.of(episode.key)
        if not np.array_equal(episode.labeled[: len(initial)], initial):
            raise InvalidState(f"The state's initial set is not the one of its episode; {state.UNCHANGED}.")
        self._oracle.check(
            episode.key, episode.labeled, episode.labels, revealed, rewind=self.options.allow_peek
        )
        before = None if self._episode is None else self._learner.get_state()
        try:
            if saved["previous"] is not None:  # its weights are used later, so they are tried on first
                self._put_back(copy.deepcopy(saved["previous"]))
            self._put_back(copy.deepcopy(saved["learner"]))
        except BaseException as error:
            if before is not None:
                self._put_back(before)
            if isinstance(error, state.UNREADABLE):
                raise InvalidState(f"The weights of the state cannot be read ({error!r}).") from error
            raise
        return episode, revealed

    def _put_back(self, learner: dict[str, Any]) -> None:
        with self.runtime.active():
            self._learner.set_state(learner)

    def _restore(self, episode: Episode, revealed: Indices, previous: dict[str, Any] | None) -> None:
        self._oracle.resume(episode.key, episode.labeled, revealed)
        self._adopt(episode, previous)
        self._view._costs.update(train_seconds=0.0, evaluate_seconds=0.0)


def core(env: gym.Env[Any, Any]) -> ActiveLearningEnv:
    """Returns the active-learning environment inside ``env``, however it is wrapped.

    Raises:
        UnknownName: There is none.
    """
    inside = env.unwrapped
    if not isinstance(inside, ActiveLearningEnv):
        raise UnknownName(
            f"{env} is no active-learning environment; make one with gym.make, such as ALDigits-v0."
        )
    return inside


def budget_spent(protocol: Protocol) -> EpisodeOver:
    """Returns the error of a step after the last."""
    return EpisodeOver(
        f"The budget of {protocol.budget} labels is spent; call reset to start another episode."
    )
