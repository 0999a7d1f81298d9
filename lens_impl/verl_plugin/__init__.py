"""All that touches verl.

Nothing of verl is edited. What is added goes through verl's own extension points where it has
them (platform, rollout registry, trainer and task runner subclasses); the patches that remain are
in `patches.py`, one function each. Importing this package imports no verl: `register.py` does.
"""
