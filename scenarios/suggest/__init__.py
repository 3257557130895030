"""Which images to label next, for somebody who has a folder of images and a few labels."""
