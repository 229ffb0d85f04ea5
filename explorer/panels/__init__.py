"""The panels of the explorer: one file each, with one JavaScript namespace of the same name."""
