"""The judge of a data set: a classifier trained on it, or rules that read its scenes."""
