"""The embedded model: a few megabytes in Wan2.2-T2V-A14B's layout, and the code that trains it."""
