"""A dataset: three patterns under noise, registered as ALBlobs-v0, ALBlobsRidge-v0 and ALBlobsFast-v0."""

import numpy as np

import alenv


def blobs():
    """300 train and 90 test images, 8x8, grey."""
    random = np.random.default_rng(5)
    patterns = random.integers(60, 190, (3, 8, 8))

    def draw(count):
        labels = np.repeat(np.arange(3), count // 3)  # sorted by class: alenv shuffles
        noise = random.integers(-60, 60, (count, 8, 8))
        return (patterns[labels] + noise).clip(0, 255).astype(np.uint8), labels

    return alenv.Dataset.of("blobs", draw(300), draw(90), ("round", "square", "oval"))


alenv.register_dataset(
    "Blobs", blobs, backbone="convnet", width=4, epochs=2, initial_size=6, query_size=4, budget=12, flip=False
)
