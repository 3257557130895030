"""Training of the classifier: images on the device, augmentation, objectives and the one loop."""

from alenv.training import loss_prediction, objectives

__all__ = ["loss_prediction", "objectives"]  # importing a file of objectives registers them
