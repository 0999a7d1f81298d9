"""A toy problem set small enough for unit tests."""

CONFIG = {
    "seed": 0,
    "sizes": {"math_train": 60, "math_test": 30, "dapo": 70, "numina": 70, "pretrain": 3000},
    "levels": {
        "math_train": [1, 2, 3, 4, 4],
        "math_test": [1, 1, 1, 1, 1],
        "dapo": [0, 0, 3, 4, 4],
        "numina": [0, 0, 3, 4, 4],
        "pretrain": [1, 1, 1, 1, 1],
    },
    "traps": 4,
    "dapo_copies": 3,
    "misconceptions": {"share": 0.4, "taught_wrong": 0.9, "noise": 0.1},
}
