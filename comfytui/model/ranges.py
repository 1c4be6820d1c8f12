"""What number inputs of known nodes take: the largest seed, and the frame counts that a video model can make."""

import re

MAX_SEED = 2**64 - 1
"""The largest seed of the core samplers (``noise_seed`` and ``seed``, ComfyUI 0.3.64)."""

_SEED_MAXIMA = {
    ("EmptyImage", "color"): 0xFFFFFF,
    ("PrimitiveInt", "value"): 2**63 - 1,
    ("Seed (rgthree)", "seed"): 2**50,
    ("easy seed", "seed"): 2**50,
}

# Video models make frames in groups of (step) behind a first one, and silently drop what does not fill a group.
_GROUPS = (
    (re.compile(r"Wan.*|.*Hunyuan.*Video.*|HunyuanImageToVideo|CosmosPredict2.*"), 4, 1),
    (re.compile(r"LTXVImgToVideo"), 8, 9),
    (re.compile(r"EmptyLTXV.*|EmptyCosmosLatentVideo|CosmosImageToVideoLatent"), 8, 1),
    (re.compile(r"EmptyMochiLatentVideo"), 6, 7),
)


def fit_seed(class_type: str, name: str, seed: int) -> int:
    """Return ``seed`` (0 to 2**64 - 1) reduced to what input ``name`` of the node class takes."""
    return seed % (_SEED_MAXIMA.get((class_type, name), MAX_SEED) + 1)


def fit_frames(class_type: str, name: str, count: int) -> int:
    """Return the smallest number of frames that is at least ``count`` and that the node class makes in full.

    ``WanImageToVideo`` (ComfyUI 0.3.64) with a length of 24 makes 21 frames; 25 are asked for instead.
    """
    if name in ("length", "num_frames"):
        for kind, step, least in _GROUPS:
            if kind.fullmatch(class_type):
                return max(least, 1 + -(-(count - 1) // step) * step)
    return count
