"""Many episodes on frozen features at once: the ridge environments as one batched computation."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode

from alenv.batched_env import BatchedEnv, checked
from alenv.env import ActiveLearningEnv
from alenv.errors import InvalidRecipe
from alenv.presets import resolve
from alenv.ridge_episodes import RidgeEpisodes


class RidgeVectorEnv(BatchedEnv):
    """E episodes of an environment with a ridge head, as ``gym.make_vec`` makes them.

    Episode i is the one that ``gym.make`` with the same settings plays: ``reset(seed=s)`` gives it the seed s + i, a
    list of seeds the i-th of them, and observations, rewards and infos are the single environment's up to rounding
    in float32 (an image whose two best classes are equal to the last digits may count as either). What differs is the
    time: the episodes are one computation, on a GPU as well.

    Observation, Action, Reward, Info, Arguments: as ``ActiveLearningEnv``, batched as Gymnasium's ``SyncVectorEnv``
    does it, with ``num_envs`` (E) and ``autoreset_mode`` (``"NextStep"``, ``"SameStep"`` or ``"Disabled"``) given to
    ``gym.make_vec`` by name. One default differs: test accuracy is measured only with ``test=True``, unless there is
    no validation split. A query that ``step`` refuses leaves all episodes as they are.

    Attributes:
        batch: What an agent may read of all episodes; ``view(i)`` shows one of them.
        recipe, protocol, options, runtime, rows, class_names, test_size, offers: As of ``ActiveLearningEnv``.
    """

    def __init__(
        self,
        dataset: str,
        recipe: str = "ridge",
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        """Loads the dataset and checks every setting; trains nothing.

        Args:
            dataset: A key of ``alenv.presets.DATASETS``.
            recipe: A key of ``alenv.presets.RECIPES``.
            num_envs: E.
            autoreset_mode: What happens after an episode's end.
            render_mode: None or ``"rgb_array"``.
            **settings: See ``ActiveLearningEnv``.

        Raises:
            InvalidRecipe: The head is no ridge head, or ``num_envs`` no positive number.
            AlenvError: A setting does not exist, cannot be trained or does not fit the dataset.
        """
        count, mode = checked(num_envs, autoreset_mode)
        resolved = resolve(dataset, recipe, settings)
        if resolved.recipe.head != "ridge":
            raise InvalidRecipe(
                f"head={resolved.recipe.head!r} was given to make_vec, which computes ridge heads in a batch; add "
                "vectorization_mode='sync'."
            )
        settings.setdefault("test", resolved.protocol.validation == 0)
        one = ActiveLearningEnv(dataset, recipe, render_mode, **settings)
        self.rows, self.class_names, self.offers = one.rows, one.class_names, one.offers
        self.test_size = one.test_size
        spaces = one.action_space, one.observation_space
        super().__init__(RidgeEpisodes(one, count), spaces, mode, render_mode)
