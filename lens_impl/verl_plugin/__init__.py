"""All that touches verl and Ray.

verl itself is not edited. Additions use verl's own extension points where it has them (platform,
rollout registry, trainer and task runner subclasses); `patches.py` has the remaining patches, one
function each. Importing this package does not import verl: `register.py` does.

    overrides.py     a run's settings as verl's configuration
    main.py          verl's process: starts Ray, then the trainer
    trainer.py       the training step; records.py: what it writes
    hf_rollout.py    rollout engine `hf`; local_queue.py, nested.py: how its rows are stored
    replay_buffer.py dynamic sampling; dropped.py: responses that leave the loss; reward.py
    platform_cpu.py  verl on a CPU; vllm_cpu.py: vLLM on a CPU
"""
