"""Strategies on the members of an ensemble, against answers worked out by hand and by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

import agents
from agents.strategies import batch_bald, disagreement
from alenv.errors import InvalidQuery, MissingHead
from scenarios.bench.explicit import draws

NAMES = ("variation_ratio", "ensemble_entropy", "bald", "batch_bald")


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def random_members(members, n, classes, seed=0):
    return (2 * torch.randn(members, n, classes, generator=stream(seed))).softmax(2)


def asked(name, planted, shown, count=1, seed=0, **options):
    """Plants members for a small pool and returns what an agent picks."""
    n = shown.shape[1]
    view = planted(
        n=n, logits=torch.zeros(n, 4), features=torch.zeros(n, 1), members=shown, labeled=(), query_size=count
    )
    agent = agents.make(name, **options)
    agent.reset(view, seed=seed)
    return agent.act(None).tolist()


# ---- scores ------------------------------------------------------------------------------------------------


def test_scores_equal_scipy():
    members = random_members(7, 5000, 4)  # more images than are in float64 at once
    p = members.double().numpy()
    mean, each = scipy.stats.entropy(p.mean(0), axis=1), scipy.stats.entropy(p, axis=2).mean(0)
    np.testing.assert_allclose(disagreement.ensemble_entropy(members), mean, atol=1e-7)
    np.testing.assert_allclose(disagreement.mutual_information(members), mean - each, atol=1e-7)
    votes = p.argmax(2)
    modal = [np.bincount(votes[:, image]).max() for image in range(5000)]
    np.testing.assert_allclose(disagreement.variation_ratio(members), 1 - np.array(modal) / 7, atol=1e-12)


def test_members_that_agree_hold_no_information():
    """However uncertain they are."""
    agreed = random_members(1, 60, 5).expand(3, -1, -1)
    assert disagreement.mutual_information(agreed).tolist() == [0.0] * 60
    assert disagreement.ensemble_entropy(agreed).min() > 0.01


def test_certain_members_of_different_classes():
    """p = 0 everywhere but in one class; T members of T classes know all that can be known."""
    members = torch.eye(4)[:, None].expand(4, 3, 4).clone()
    members[:, 1] = torch.eye(4)[2]
    members[:2, 2], members[2:, 2] = torch.eye(4)[0], torch.eye(4)[1]
    expected = [np.log(4), 0.0, np.log(2)]
    np.testing.assert_allclose(disagreement.mutual_information(members), expected, atol=1e-8)
    np.testing.assert_allclose(disagreement.ensemble_entropy(members), expected, atol=1e-8)
    assert disagreement.variation_ratio(members).tolist() == [0.75, 0.0, 0.5]


def test_bald_and_entropy_order_the_same_images_differently(planted):
    """Image 0: all undecided. Image 1: each sure, of another class. Image 2: sure, and somewhat apart."""
    members = torch.tensor(
        [
            [[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]],
            [[0.5, 0.5], [0.02, 0.98], [0.6, 0.4]],
        ]
    )
    assert disagreement.mutual_information(members).argsort(descending=True).tolist() == [1, 2, 0]
    assert disagreement.ensemble_entropy(members).argsort(descending=True).tolist() == [0, 1, 2]
    assert disagreement.variation_ratio(members).tolist() == [0.0, 0.5, 0.0]
    assert [asked(name, planted, members)[0] for name in NAMES] == [1, 0, 1, 1]


def test_variation_ratios_that_tie_are_ordered_by_entropy(planted):
    """Of 40 images 30 have one vote against; the entropy of the mean decides, whatever the index."""
    members = torch.tensor([0.9, 0.1]).expand(5, 40, 2).clone()
    order = torch.randperm(40, generator=stream()).tolist()
    for rank, image in enumerate(order[:30]):
        members[0, image] = torch.tensor([0.45 - 0.01 * rank, 0.55 + 0.01 * rank])
        members[1:, image, 0] = 0.6 + 0.01 * rank
        members[1:, image, 1] = 0.4 - 0.01 * rank
    members[:, order[35]] = torch.tensor([0.5001, 0.4999])  # the highest entropy of all, and no vote against
    ratios = disagreement.variation_ratio(members)
    assert sorted(set(ratios.tolist())) == [0.0, pytest.approx(0.2)]
    entropies = disagreement.ensemble_entropy(members).numpy()
    assert entropies.argmax() == order[35]
    expected = sorted(order[:30], key=lambda image: -entropies[image])
    assert asked("variation_ratio", planted, members, 30) == expected
    assert asked("variation_ratio", planted, members, 31)[30] == order[35]


def test_equal_ratios_and_entropies_are_ordered_at_random(planted):
    members = torch.tensor([0.7, 0.3]).expand(5, 20, 2)
    found = {tuple(asked("variation_ratio", planted, members, 3, seed)) for seed in range(10)}
    assert len(found) > 5


def test_an_order_by_two_scores():
    first, second = torch.tensor([1.0, 2.0, 1.0, torch.nan]), torch.tensor([5.0, -1.0, 7.0, 9.0])
    assert disagreement.first_then(first, second).argsort(descending=True).tolist() == [1, 2, 0, 3]
    same = disagreement.first_then(torch.ones(2), torch.ones(2))
    assert same[0] == same[1]


# ---- joint information -------------------------------------------------------------------------------------


def joint_information(members, images):
    return draws.joint_information(members.double().numpy().transpose(1, 0, 2)[images])


def gained(members, images, samples, seed=0):
    """The information of images chosen one by one, added up."""
    p = members.double().transpose(0, 1)
    p = p / p.sum(2, keepdim=True)
    chosen, total, generator = batch_bald.Configurations(len(members), samples), 0.0, stream(seed)
    for image in images:
        total += float(batch_bald.information_beyond(p, chosen)[image])
        chosen.add(p[image], generator)
    return total, chosen


def test_the_joint_information_equals_enumeration():
    members = random_members(5, 6, 3)
    for images in ([4], [4, 0], [4, 0, 2, 5], [1, 1, 3]):
        total, chosen = gained(members, images, samples=1000)
        assert total == pytest.approx(joint_information(members, images), abs=1e-6)
        assert len(chosen.weights) == 3 ** len(images)
        assert float(chosen.weights.sum()) == pytest.approx(1)


def test_a_sample_of_labels_comes_close_to_enumeration():
    members = random_members(4, 7, 3)
    images = [6, 0, 1, 2, 5, 3]
    expected = joint_information(members, images)
    found = [gained(members, images, samples=700, seed=seed) for seed in range(20)]
    assert {len(chosen.weights) for _, chosen in found} == {700}  # 729 configurations are too many
    totals = np.array([total for total, _ in found])
    assert totals.std() < 0.02
    assert abs(totals.mean() - expected) < 4 * totals.std() / np.sqrt(20) + 1e-6
    coarse = np.array([gained(members, images, samples=20, seed=seed)[0] for seed in range(40)])
    assert abs(coarse.mean() - expected) < 4 * coarse.std() / np.sqrt(40)
    assert coarse.std() > totals.std()


def test_zero_probabilities_leave_everything_finite():
    members = torch.eye(3)[:, None].expand(3, 4, 3)  # certain members, each of a class of its own
    for samples in (2, 1000):
        total, chosen = gained(members, [0, 1, 2], samples)
        assert total == pytest.approx(np.log(3), abs=0.4 if samples == 2 else 1e-9)
        assert chosen.posterior().isfinite().all()
    assert len(chosen.weights) == 3  # labels that no member allows are not kept


def test_the_first_choice_is_balds(planted):
    members = random_members(6, 50, 3)
    assert asked("batch_bald", planted, members) == asked("bald", planted, members)


def test_greedy_choices_equal_a_search(planted):
    members = random_members(4, 9, 3)
    picks = []
    for _ in range(4):
        free = [image for image in range(9) if image not in picks]
        picks.append(max(free, key=lambda image: joint_information(members, [*picks, image])))
    assert asked("batch_bald", planted, members, 4) == picks


def test_bald_takes_the_same_image_twice_and_batch_bald_does_not(planted):
    """Images 0 to 2 are one image three times; image 3 says a little less, and something else."""
    one, other = torch.tensor([0.95, 0.95, 0.05, 0.05]), torch.tensor([0.9, 0.1, 0.9, 0.1])
    first = torch.stack([one, one, one, other], dim=1)
    members = torch.stack([first, 1 - first], dim=2)
    assert sorted(asked("bald", planted, members, 3)) == [0, 1, 2]
    for samples in (10_000, 3):  # listed, and drawn
        found = asked("batch_bald", planted, members, 2, samples=samples)
        assert found[0] in (0, 1, 2)
        assert found[1] == 3


def test_a_query_above_the_limit_is_refused_before_anything_is_computed(planted):
    view = planted(query_size=41)
    agent = agents.make("batch_bald")
    agent.reset(view)
    with pytest.raises(InvalidQuery, match=r"41 images, .* at most 40 at once; .* or batch_bald:limit=41\.$"):
        agent.act(None)
    assert view._learner.asked == []
    raised = agents.make("batch_bald:limit=41:samples=50")
    raised.reset(view)
    assert len(set(raised.act(None).tolist())) == 41


# ---- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_options(planted, name):
    assert agents.make(name).members is None
    assert (agents.make(name).pool, agents.make(name, pool="all").pool) == ("candidates", "all")
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(
            InvalidQuery, match=r"^members=.* was given; give a whole number of at least 1\.$"
        ):
            agents.make(name, members=wrong)
    with pytest.raises(MissingHead, match="dropout"):
        agents.make(name).reset(planted(members=None))


def test_fewer_members_are_the_first(planted):
    members = random_members(5, 30, 4)
    few = members[:2]
    for name in NAMES:
        assert asked(name, planted, members, 3, members=2) == asked(name, planted, few, 3)


def test_batch_bald_counts_its_samples_in_whole_numbers():
    for option in ("samples", "limit"):
        with pytest.raises(InvalidQuery, match=f"^{option}=0 was given; give a whole number of at least 1"):
            agents.make(f"batch_bald:{option}=0")
