"""A learner: five networks that differ in weights, batch order and augmentation; their average classifies.

Source: Beluch et al. 2018, "The power of ensembles for active learning in image classification".
"""

import dataclasses

import torch

from alenv.learners.network import NetworkLearner


class Five:
    """An ensemble of five; the probabilities of the members are those that disagreement is measured on."""

    count = 5
    frozen_features = False

    @classmethod
    def build(cls, recipe, images, num_classes, runtime):
        plain = dataclasses.replace(recipe, head="network")
        return cls(
            [NetworkLearner(plain, images.shape, num_classes, runtime, member=i) for i in range(cls.count)]
        )

    @classmethod
    def offers(cls, recipe):
        return frozenset({"members"})

    def __init__(self, learners):
        self.learners = learners
        self.feature_size, self.provides = learners[0].feature_size, learners[0].provides

    def begin(self, key):
        for each in self.learners:
            each.begin(key)

    def fit(self, images, labeled, labels, cycle):
        for each in self.learners:
            each.fit(images, labeled, labels, cycle)

    def members(self, images, indices, count, cycle):
        return torch.stack(
            [each.infer(images, indices)["logits"].softmax(1) for each in self.learners[:count]]
        )

    def infer(self, images, indices, maps=False):
        outputs = [each.infer(images, indices) for each in self.learners]
        mean = torch.stack([each["logits"].softmax(1) for each in outputs]).mean(0)
        return {"logits": mean.log(), "features": outputs[0]["features"]}

    def predict(self, images):
        everything = torch.arange(len(images), device=images.device)
        return self.infer(images, everything)["logits"].argmax(1)

    def copy_classifier(self):
        return self.learners[0].copy_classifier()

    def get_state(self):
        return {str(i): each.get_state() for i, each in enumerate(self.learners)}

    def set_state(self, state):
        for i, each in enumerate(self.learners):
            each.set_state(state[str(i)])

    def fork(self, state):
        return type(self)([each.fork(state[str(i)]) for i, each in enumerate(self.learners)])
