"""Each strategy against a slow, obvious version."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from sklearn.cluster import KMeans

import agents
from agents.strategies import uncertainty
from agents.strategies.badge import gradient_distances, gradient_factors
from agents.strategies.waal import decidedness
from alenv import geometry
from alenv.errors import InvalidQuery, MissingHead


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- uncertainty -------------------------------------------------------------------------------------------


def test_scores_equal_numpy_and_scipy():
    logits = torch.randn(50, 7, generator=stream()) * 2
    p = scipy.special.softmax(logits.double().numpy(), axis=1)
    ordered = np.sort(p, axis=1)
    np.testing.assert_allclose(uncertainty.least_confidence(logits), 1 - p.max(1), atol=1e-12)
    np.testing.assert_allclose(uncertainty.margin(logits), 1 - (ordered[:, -1] - ordered[:, -2]), atol=1e-12)
    np.testing.assert_allclose(uncertainty.entropy(logits), scipy.stats.entropy(p, axis=1), atol=1e-12)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_saturated_probabilities_keep_their_order(name):
    """In float32 every one of these has a largest probability of exactly 1."""
    gaps = torch.tensor([600.0, 20.0, 300.0, 40.0, 120.0])
    logits = torch.stack([gaps, torch.zeros(5), torch.zeros(5) - 700], 1)
    scores = getattr(uncertainty, name)(logits)
    assert scores.argsort(descending=True).tolist() == [1, 3, 4, 2, 0]
    assert scores.isfinite().all()


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_certain_and_undecided_images(name):
    logits = torch.tensor([[0.0, -torch.inf, -torch.inf], [1.0, 1.0, 1.0]])
    certain, undecided = getattr(uncertainty, name)(logits).tolist()
    assert certain == 0
    assert undecided == pytest.approx({"least_confidence": 2 / 3, "margin": 1.0, "entropy": np.log(3)}[name])


def test_margin_and_entropy_can_disagree(planted, query):
    p = torch.tensor([[0.48, 0.47, 0.05], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
    view = planted(n=3, logits=p.log(), features=torch.zeros(3, 1), labeled=(), query_size=1)
    assert query(agents.make("margin"), view).tolist() == [0]
    assert query(agents.make("entropy"), view).tolist() == [1]
    assert query(agents.make("least_confidence"), view).tolist() == [1]


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_the_highest_scores_are_picked(planted, query, name):
    view = planted(query_size=20)
    scores = getattr(uncertainty, name)(view.logits(view.unlabeled)).numpy()
    expected = view.unlabeled[np.argsort(-scores)[:20]]
    assert query(agents.make(name), view).tolist() == expected.tolist()


def test_ll4al_takes_the_highest_predicted_loss(planted, query):
    view = planted(query_size=20)
    losses = view.predicted_loss(view.unlabeled).numpy()
    expected = view.unlabeled[np.argsort(-losses)[:20]]
    assert query(agents.make("ll4al"), view).tolist() == expected.tolist()


def test_ll4al_says_at_reset_what_is_missing(planted):
    for name in ("ll4al", "coreset+ll4al", "ll4al+margin"):
        with pytest.raises(MissingHead, match=r'gym\.make\("ALPlanted-v0", joint="loss_prediction"\)'):
            agents.make(name).reset(planted(scores={}), seed=0)


@pytest.mark.parametrize("target", [None, 0.0, 0.7])
def test_jls_takes_the_scores_nearest_to_its_target(planted, query, target):
    scores = torch.rand(200, generator=stream())
    view = planted(query_size=20, scores={"labeled_score": scores})
    agent = agents.make("jls") if target is None else agents.make("jls", target=target)
    distance = np.abs(scores.numpy() - (0.1 if target is None else target))
    expected = view.unlabeled[np.argsort(distance[view.unlabeled])[:20]]
    assert query(agent, view).tolist() == expected.tolist()


@pytest.mark.parametrize("weights", [(1.0, 10.0), (0.0, 1.0), (2.0, 0.0)])
def test_waal_takes_the_lowest_of_its_score(planted, query, weights):
    view = planted(query_size=20)
    logs = scipy.special.log_softmax(view.logits().double().numpy(), axis=1)
    decided = 0.5 * np.sqrt(np.square(logs).sum(1)) + 0.5 * np.abs(logs).sum(1)
    critic = -view.labeled_score().numpy()  # higher for unlabeled images
    score = weights[0] * decided - weights[1] * critic
    expected = view.unlabeled[np.argsort(score[view.unlabeled])[:20]]
    agent = agents.make("waal", uncertainty=weights[0], diversity=weights[1])
    assert query(agent, view).tolist() == expected.tolist()
    if weights == (1.0, 10.0):
        assert query(agents.make("waal"), view).tolist() == expected.tolist()


def test_waal_prefers_undecided_and_unlabeled_images_and_knows_saturated_ones(planted, query):
    logits = torch.tensor([[900.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    given = {"n": 4, "logits": logits, "features": torch.zeros(4, 1), "labeled": (), "query_size": 3}
    view = planted(**given, scores={"labeled_score": torch.tensor([0.0, 0.0, 0.0, -1.0])})
    assert query(agents.make("waal"), view).tolist() == [3, 2, 1]
    assert decidedness(logits[:1]).isfinite().all()


@pytest.mark.parametrize(("name", "objective"), [("jls", "discriminator"), ("waal", "wasserstein")])
def test_agents_of_one_objective_say_at_reset_which(planted, name, objective):
    with pytest.raises(
        MissingHead,
        match=rf'no (Wasserstein critic|discriminator); .*gym\.make\("ALPlanted-v0", joint="{objective}"\)',
    ):
        agents.make(name).reset(planted(scores={}), seed=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jls", {"target": 1.5}),
        ("jls", {"target": "low"}),
        ("jls", {"target": True}),
        ("waal", {"diversity": -1}),
        ("waal", {"uncertainty": float("inf")}),
        ("waal", {"uncertainty": None}),
    ],
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(InvalidQuery, match=next(iter(options))):
        agents.make(name, **options)


def test_a_composition_needs_what_its_parts_need():
    assert agents.make("coreset+margin").needs == ()
    assert agents.make("coreset+ll4al").needs == agents.make("ll4al+coreset").needs == ("predicted_loss",)
    assert agents.make("ll4al+ll4al").needs == ("predicted_loss",)
    by, then = agents.make("coreset"), agents.make("margin")
    by.needs, then.needs = ("validation", "members"), ("members", "embedding")
    assert agents.Subset(by, then).needs == ("validation", "members", "embedding")


def test_a_composition_tells_and_saves_its_parts(planted):
    class Counter(agents.Strategy):
        """Counts what it is told."""

        told = 0

        def update(self, reward, info):
            self.told += 1

        def get_state(self):
            return {"told": self.told}

        def set_state(self, state):
            self.told = state["told"]

    made, again = (agents.Subset(Counter(), agents.make("margin")) for _ in range(2))
    made.reset(planted())
    made.update(0.5, {})
    made.update(None, {})
    assert made.get_state() == {"0": {"told": 2}, "1": {}}
    again.set_state(made.get_state())
    assert again.by.told == 2
    plain = agents.make("coreset+margin")
    assert plain.get_state() == {}
    plain.set_state({})


def test_best_orders_ties_at_random_and_nan_last():
    scores = torch.tensor([1.0, torch.nan, 2.0, 1.0, -torch.inf, torch.inf])
    orders = {tuple(agents.best(scores, 4, stream(seed)).tolist()) for seed in range(20)}
    assert orders == {(5, 2, 0, 3), (5, 2, 3, 0)}
    assert set(agents.best(scores, 6, stream())[4:].tolist()) == {1, 4}


# ---- core-set ----------------------------------------------------------------------------------------------


def test_coreset_equals_a_slow_loop(planted, query):
    view = planted(query_size=25)
    x = view.features().double().numpy()
    covered, expected = list(view.labeled), []
    for _ in range(25):
        distance = np.square(x[:, None] - x[covered]).sum(2).min(1)
        distance[covered] = -1
        expected.append(int(distance.argmax()))
        covered.append(expected[-1])
    assert query(agents.make("coreset"), view).tolist() == expected


def test_coreset_starts_anywhere_without_labels(planted, query):
    view = planted(labeled=())
    assert len({query(agents.make("coreset"), view, seed)[0] for seed in range(20)}) > 10


# ---- BADGE -------------------------------------------------------------------------------------------------


def explicit_gradients(view, indices):
    """The gradient of the cross-entropy to the guessed class, by the last weights, from autograd."""
    features, weights = (
        view.features(indices).double(),
        torch.zeros(view.num_classes, view.features().shape[1]),
    )
    rows = []
    for h, logits in zip(features, view.logits(indices).double(), strict=True):
        w = weights.double().requires_grad_()
        shifted = w @ h + logits  # logits as planted, moved only by w
        loss = torch.nn.functional.cross_entropy(shifted[None], logits.argmax()[None])
        rows.append(torch.autograd.grad(loss, w)[0].flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("classes", [2, 10])
def test_badge_distances_equal_those_of_the_explicit_gradients(planted, classes):
    view = planted(n=60, classes=classes, width=5)
    g = explicit_gradients(view, np.arange(60))
    norms, distances = gradient_distances(gradient_factors(view.logits()), view.features())
    torch.testing.assert_close(norms.double(), g.square().sum(1), rtol=1e-5, atol=1e-6)
    explicit = (g[:, None] - g[None]).square().sum(2)
    torch.testing.assert_close(distances(torch.arange(60)).double(), explicit, rtol=1e-4, atol=1e-4)


def test_badge_pick_probabilities_equal_the_explicit_ones_at_every_step(planted, query):
    view = planted(n=120, labeled=(), query_size=40)
    found = query(agents.make("badge"), view)
    g = explicit_gradients(view, np.arange(120))
    _, distances = gradient_distances(gradient_factors(view.logits()), view.features())
    assert found[0] == int(g.square().sum(1).argmax())
    for step in range(1, 40):
        chosen = torch.as_tensor(found[:step])
        ours = distances(chosen).double().min(0).values
        theirs = (g[:, None] - g[chosen]).square().sum(2).min(1).values
        ours[chosen] = theirs[chosen] = 0
        torch.testing.assert_close(ours / ours.sum(), theirs / theirs.sum(), rtol=1e-3, atol=1e-5)
        assert theirs[found[step]] > 0


def test_badge_equals_k_means_plus_plus_on_explicit_gradients(planted):
    view = planted(n=120, query_size=40)
    g = explicit_gradients(view, view.unlabeled)
    first = int(g.square().sum(1).argmax())
    slow = geometry.k_means_plus_plus(40, len(g), geometry.distances_to_rows(g), stream(5), first)
    found = agents.make("badge").pick(view, view.unlabeled, 40, stream(5))
    assert found.tolist() == view.unlabeled[slow.numpy()].tolist()


def test_badge_tells_saturated_images_apart():
    logits = torch.tensor([[30.0, 0.0, 0.0], [40.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    factors = gradient_factors(logits)
    assert (factors[:, 0] < 0).all()
    torch.testing.assert_close(factors.sum(1), torch.zeros(3), atol=1e-20, rtol=0)
    torch.testing.assert_close(factors[:, 0], -2 * torch.exp(-logits[:, 0]), rtol=1e-4, atol=0)


# ---- k-means -----------------------------------------------------------------------------------------------


def test_kmeans_takes_the_most_central_image_of_each_cluster(planted, query):
    middles = 40 * torch.randn(5, 6, generator=stream())
    x = middles.repeat_interleave(20, 0) + torch.randn(100, 6, generator=stream(1))
    view = planted(n=100, features=x, logits=torch.zeros(100, 2), labeled=(), query_size=5)
    found = query(agents.make("kmeans"), view)
    theirs = KMeans(5, n_init=5, random_state=0).fit(x.numpy())
    nearest = theirs.transform(x.numpy()).argmin(0)
    assert sorted(found) == sorted(nearest)


def test_kmeans_with_fewer_distinct_images_than_asked(planted, query):
    x = torch.randn(3, 6, generator=stream()).repeat(20, 1)
    view = planted(n=60, features=x, logits=torch.zeros(60, 2), labeled=(), query_size=12)
    assert set(query(agents.make("kmeans"), view) % 3) == {0, 1, 2}


# ---- subsets -----------------------------------------------------------------------------------------------


def test_a_subset_is_chosen_first_and_the_query_from_it(planted):
    view = planted(n=300, query_size=4)
    by, then = agents.make("coreset"), agents.make("margin")
    found = agents.make("coreset+margin", factor=6).pick(view, view.unlabeled, 4, stream())
    subset = by.pick(view, view.unlabeled, 24, stream())
    assert found.tolist() == then.pick(view, subset, 4, stream()).tolist()
    assert found.tolist() != then.pick(view, view.unlabeled, 4, stream()).tolist()


def test_a_subset_larger_than_the_pool_is_the_pool(planted, query):
    view = planted(n=60, query_size=20)
    assert sorted(query(agents.make("coreset+margin"), view)) == sorted(query(agents.make("margin"), view))


@pytest.mark.parametrize("factor", [0, -1, 2.5, "many"])
def test_an_impossible_factor_is_refused(factor):
    with pytest.raises(InvalidQuery, match="factor"):
        agents.make("coreset+margin", factor=factor)
