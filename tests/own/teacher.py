"""An objective: consistency with an average of the weights on unlabeled images, and a discriminator beside it.

Source: Tarvainen and Valpola 2017, "Mean teachers are better role models", in a simple form.
"""

import copy
from typing import ClassVar

import torch
from torch import nn

import alenv
from alenv import fitting

STRONG = alenv.Augmentation(flip=False, crop_padding=2, trivial=False, cutout=4)


class Teacher(alenv.Objective):
    """Uses unlabeled images, an optimizer of its own for a discriminator, and an average of the weights."""

    options: ClassVar = {"joint_weight": 1.0, "joint_decay": 0.9}
    provides = ("labeled_score",)
    self_trained = ("discriminator",)

    def modules(self, classifier):
        return {"discriminator": nn.Linear(classifier.feature_size, 1)}

    def begin(self, classifier, networks, generator):
        self.average = copy.deepcopy(classifier)
        self.optimizer = torch.optim.SGD(networks["discriminator"].parameters(), lr=0.1)

    def batches(self, labeled, unlabeled, generator):
        return fitting.paired_batches(labeled, unlabeled, self.recipe.batch_size, generator)

    def loss(self, step):
        strong = step.forward(step.augment(step.unlabeled.raw, STRONG))
        with torch.no_grad():
            target = step.forward(step.unlabeled.images, self.average).logits.softmax(1)
        distance = (strong.logits.softmax(1) - target).square().sum(1).mean()
        return step.losses.mean() + self.settings["joint_weight"] * distance

    def after_step(self, step):
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), step.classifier.parameters(), strict=True):
                mine.lerp_(theirs, 1 - self.settings["joint_decay"])
        parts = ((step.labeled.features, 1.0), (step.unlabeled.features, 0.0))
        self.optimizer.zero_grad()
        for features, target in parts:
            logits = step.networks["discriminator"](features.detach()).squeeze(1)
            nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target)).backward()
        self.optimizer.step()

    def scores(self, networks, features, feature_maps):
        return {"labeled_score": networks["discriminator"](features.float()).squeeze(1)}
