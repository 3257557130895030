"""What the labels of a project say: accuracy over labels, when to stop, which ones look wrong."""
