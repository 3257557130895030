"""ALFA-Mix and DropQuery, which ask what the head says of changed features, on heads that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

import agents
from agents.representation import Head
from agents.strategies import alfa_mix, drop_query
from agents.strategies.kmeans import central_then_random
from alenv.errors import InvalidQuery


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def random_head(classes=4, size=6, seed=5):
    return Head(
        torch.randn(classes, size, generator=stream(seed)), torch.randn(classes, generator=stream(seed + 1))
    )


def view_of(planted, features, head, **given):
    return planted(n=len(features), features=features, logits=head(features), validation=0, **given)


# ---- ALFA-Mix ----------------------------------------------------------------------------------------------


def test_anchors_are_class_means_and_the_mean_of_all_where_a_class_is_missing():
    h = torch.randn(7, 3, generator=stream())
    labels = torch.tensor([0, 2, 0, 2, 2, -1, 0])
    found = alfa_mix.anchors(h, labels, 4)
    torch.testing.assert_close(found[0], h[[0, 2, 6]].mean(0))
    torch.testing.assert_close(found[2], h[[1, 3, 4]].mean(0))
    for missing in (1, 3):
        torch.testing.assert_close(found[missing], h.mean(0))


def test_gradients_equal_autograd():
    head, h = random_head(), torch.randn(20, 6, generator=stream()).requires_grad_()
    logits = head(h)
    cross_entropy(logits, logits.argmax(1), reduction="sum").backward()
    torch.testing.assert_close(alfa_mix.loss_gradients(head, h.detach()), h.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("clip", [True, False])
def test_mixes_equal_the_formula_entry_by_entry(clip):
    h, z, g = (torch.randn(size, generator=stream(seed)) for seed, size in enumerate(((5, 4), (4,), (5, 4))))
    h[2, 1] = z[1]  # there is nothing to mix
    found = alfa_mix.mixed(h, z, g, 0.6, clip)
    for i in range(5):
        for j in range(4):
            apart = float(z[j] - h[i, j])
            share = 0.0
            if apart:
                length = float((z - h[i]).norm() / g[i].norm())
                share = 0.6 / 2 * length * float(g[i, j]) / apart
            if clip:
                share = min(max(share, 0.0), 0.6)
            assert float(found[i, j]) == pytest.approx(
                (1 - share) * float(h[i, j]) + share * float(z[j]), abs=1e-5
            )


def test_images_between_classes_change_and_images_amid_a_class_do_not(planted, query):
    """Two classes along one axis; images 20 to 29 lie at the border, the others far from it."""
    head = Head(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2))
    h = torch.randn(60, 2, generator=stream()) * 0.1
    h[:, 0] += torch.cat([torch.full((20,), 3.0), torch.full((10,), 0.3), torch.full((30,), -3.0)])
    centers = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    changed = alfa_mix.changes_class(head, h, centers, 0.2)
    assert changed.nonzero().flatten().tolist() == list(range(20, 30))
    labels = (h[:, 0] < 0).long().numpy()
    view = view_of(planted, h, head, labels=labels, labeled=[0, 1, 30, 31], query_size=5)
    for seed in range(3):
        assert np.isin(query(agents.make("alfa_mix"), view, seed), range(20, 30)).all()


def test_the_share_grows_until_enough_change(planted):
    """Ten images change at 0.2; for more the cap is raised, at last to 1."""
    head = Head(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2))
    h = torch.randn(60, 2, generator=stream()) * 0.1
    h[:, 0] += torch.cat([torch.full((20,), 3.0), torch.full((10,), 0.3), torch.full((30,), -3.0)])
    centers, agent = torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), agents.make("alfa_mix")
    assert int(agent._candidates(head, h, centers, 9).sum()) == 10
    more = agent._candidates(head, h, centers, 10)
    assert int(more.sum()) > 10
    assert torch.equal(agent._candidates(head, h, centers, 60), alfa_mix.changes_class(head, h, centers, 1.0))


def test_the_middles_of_clusters_of_the_wanted_and_then_random_others():
    x = normalize(
        torch.eye(6)[:3].repeat_interleave(10, 0) + 0.05 * torch.randn(30, 6, generator=stream()), dim=1
    )
    wanted = torch.zeros(30, dtype=torch.bool)
    wanted[:20] = True
    assert sorted((central_then_random(x, wanted, 2, stream()) // 10).tolist()) == [0, 1]
    for seed in range(5):
        few = central_then_random(x, wanted, 25, stream(seed)).tolist()
        assert set(range(20)) < set(few)
        assert len(set(few)) == 25
    assert sorted(central_then_random(x, wanted, 20, stream()).tolist()) == list(range(20))


# ---- DropQuery ---------------------------------------------------------------------------------------------


def test_an_image_that_hangs_on_one_feature_changes_and_one_with_many_does_not():
    """With a share r dropped, the first image changes exactly when its only feature is dropped."""
    weight = torch.zeros(2, 400)
    weight[0] = 1.0
    head = Head(weight, torch.tensor([0.0, 0.5]))
    h = torch.zeros(4000, 400)
    h[:2000, 0] = 1.0
    h[2000:] = 1.0
    votes = drop_query.dropped_votes(head, h, 3, 0.25, stream())
    assert votes[:2000].float().mean().item() == pytest.approx(
        0.75, abs=0.06
    )  # 4 standard deviations of the mean
    assert votes[2000:].max() == 0


def test_what_is_kept_is_scaled_up():
    """One feature of 1 kept of 1; with rate 0.5 it counts 2, above the other class's 1.5 while 1 is below."""
    head = Head(torch.tensor([[1.0], [0.0]]), torch.tensor([0.0, 1.5]))
    votes = drop_query.dropped_votes(head, torch.ones(500, 1), 4, 0.5, stream())
    assert votes.float().mean().item() == pytest.approx(2.0, abs=0.2)


def test_fewer_changes_are_asked_for_while_there_are_too_few_images():
    votes = torch.tensor([0, 3, 2, 1, 1, 0, 2])
    assert drop_query.unstable(votes, 3, 3).nonzero().flatten().tolist() == [1, 2, 6]
    assert drop_query.unstable(votes, 3, 4).nonzero().flatten().tolist() == [1, 2, 3, 4, 6]
    assert drop_query.unstable(votes, 3, 99).nonzero().flatten().tolist() == [1, 2, 3, 4, 6]


def test_drop_query_takes_unstable_images(planted, query):
    weight = torch.zeros(2, 40)
    weight[0] = 1.0
    head = Head(weight, torch.tensor([0.0, 0.5]))
    h = torch.ones(200, 40) + 0.01 * torch.randn(200, 40, generator=stream())
    h[50:90] = 0.001 * torch.randn(40, 40, generator=stream(1))
    h[50:90, 3] = 1.0
    view = view_of(planted, h, head, labeled=[0, 1], query_size=5)
    for seed in range(3):
        assert np.isin(query(agents.make("drop_query:rate=0.5"), view, seed), range(50, 90)).all()


def test_without_labels_the_whole_pool_is_clustered(planted, query):
    x = torch.eye(8)[:5].repeat_interleave(40, 0) + 0.05 * torch.randn(200, 8, generator=stream())
    view = view_of(planted, x, random_head(3, 8), labeled=(), query_size=5)
    for name in ("alfa_mix", "drop_query"):
        assert sorted(query(agents.make(name), view) // 40) == [0, 1, 2, 3, 4]


def test_impossible_options_are_refused():
    for wrong in (
        "alfa_mix:step=0",
        "alfa_mix:step=1.5",
        "alfa_mix:clip=1",
        "drop_query:rate=1",
        "drop_query:passes=0",
    ):
        with pytest.raises(InvalidQuery, match=wrong.partition(":")[2].partition("=")[0]):
            agents.make(wrong)
