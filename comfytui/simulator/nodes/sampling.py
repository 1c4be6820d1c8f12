"""The diffusion nodes: they pass a prompt, a seed and a keyframe on to whoever draws the frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image, ImageFilter

from comfytui.simulator.device import CHECKPOINTS
from comfytui.simulator.execution import NodeRun
from comfytui.simulator.nodes.media import Conditioning, Latent, Model, Pictures
from comfytui.simulator.nodes.schema import MAX_RESOLUTION, NodeClass, Outcome
from comfytui.simulator.painting.painter import Style

SAMPLERS = [
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2",
    "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_sde_gpu",
    "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm",
    "ipndm_v", "deis", "res_multistep", "gradient_estimation", "er_sde", "seeds_2", "seeds_3", "sa_solver",
    "ddim", "uni_pc", "uni_pc_bh2",
]  # fmt: skip
SCHEDULERS = [
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
]  # fmt: skip


async def load_checkpoint(run: NodeRun) -> Outcome:
    """Give the three parts of a checkpoint; the first time it takes a while."""
    name, device = run.inputs["ckpt_name"], run.life.device
    if not device.resident(name):
        run.life.log.write("model_type EPS")
        await run.wait(run.life.speed().model_load)
        device.load(name)
    return Outcome((Model(name),) * 3)


async def encode_text(run: NodeRun) -> Outcome:
    """Give the text as conditioning."""
    await run.wait(run.life.speed().text_encode)
    return Outcome((Conditioning(text=run.inputs["text"]),))


async def empty_latent(run: NodeRun) -> Outcome:
    """Give an empty latent; sizes are cut to multiples of 8 pixels, as the latent space is."""
    values = run.inputs
    return Outcome((Latent(values["width"] // 8 * 8, values["height"] // 8 * 8, values["batch_size"]),))


async def condition_video(run: NodeRun) -> Outcome:
    """Give what the video model needs to move a keyframe."""
    values = run.inputs
    pictures: Pictures = values["init_image"]
    latent = Latent(values["width"] // 8 * 8, values["height"] // 8 * 8, values["video_frames"])
    await run.wait(run.life.speed().text_encode)
    return Outcome((Conditioning(pictures=pictures), Conditioning(), latent))


async def guide(run: NodeRun) -> Outcome:
    """Give the model with another guidance: nothing that a simulated frame could show."""
    return Outcome((run.inputs["model"],))


async def sample(run: NodeRun) -> Outcome:
    """Go through the steps, and give a latent that knows its prompt, its seed and its keyframe."""
    values = run.inputs
    latent: Latent = values["latent_image"]
    positive: Conditioning = values["positive"]
    style = Style(prompt=positive.text, seed=values["seed"])
    pictures = positive.pictures.with_style(f"keyframe {values['seed']}") if positive.pictures else None
    result = replace(latent, style=style, pictures=pictures)
    run.life.device.work(latent.width, latent.height, latent.count)
    for step in range(1, values["steps"] + 1):
        await run.wait(run.life.speed().sampling_step)
        await run.report(step, values["steps"], _preview(run, result, step / values["steps"]))
    return Outcome((result,))


def _preview(run: NodeRun, latent: Latent, done: float) -> Callable[[], Image.Image] | None:
    """Return what draws the preview of a step, blurred while much is left to do; None when previews are off."""
    if not run.life.previews:
        return None
    small = replace(latent.decoded(), width=max(64, latent.width // 2), height=max(64, latent.height // 2))
    return lambda: small.draw(0).filter(ImageFilter.GaussianBlur(24 * (1 - done)))


async def decode(run: NodeRun) -> Outcome:
    """Give the images of a latent."""
    latent: Latent = run.inputs["samples"]
    await run.wait(run.life.speed().decode_frame * latent.count)
    return Outcome((latent.decoded(),))


def _pixels(default: int, tooltip: str = "") -> list[Any]:
    extra = {"tooltip": tooltip} if tooltip else {}
    return ["INT", {"default": default, "min": 16, "max": MAX_RESOLUTION, "step": 8, **extra}]


CLASSES = [
    NodeClass(
        name="CheckpointLoaderSimple",
        display_name="Load Checkpoint",
        category="loaders",
        work=load_checkpoint,
        required={"ckpt_name": [sorted(CHECKPOINTS), {"tooltip": "The checkpoint to load."}]},
        returns=("MODEL", "CLIP", "VAE"),
    ),
    NodeClass(
        name="ImageOnlyCheckpointLoader",
        display_name="Image Only Checkpoint Loader (img2vid model)",
        category="loaders/video_models",
        work=load_checkpoint,
        required={"ckpt_name": [sorted(CHECKPOINTS)]},
        returns=("MODEL", "CLIP_VISION", "VAE"),
        python_module="comfy_extras.nodes_video_model",
    ),
    NodeClass(
        name="CLIPTextEncode",
        display_name="CLIP Text Encode (Prompt)",
        category="conditioning",
        work=encode_text,
        required={
            "text": ["STRING", {"multiline": True, "dynamicPrompts": True, "tooltip": "The text to encode."}],
            "clip": ["CLIP", {"tooltip": "The model that encodes it."}],
        },
        returns=("CONDITIONING",),
    ),
    NodeClass(
        name="EmptyLatentImage",
        display_name="Empty Latent Image",
        category="latent",
        work=empty_latent,
        required={
            "width": _pixels(512, "Width in pixels."),
            "height": _pixels(512, "Height in pixels."),
            "batch_size": ["INT", {"default": 1, "min": 1, "max": 4096, "tooltip": "Images in the batch."}],
        },
        returns=("LATENT",),
    ),
    NodeClass(
        name="SVD_img2vid_Conditioning",
        display_name="SVD_img2vid_Conditioning",
        category="conditioning/video_models",
        work=condition_video,
        required={
            "clip_vision": ["CLIP_VISION"],
            "init_image": ["IMAGE"],
            "vae": ["VAE"],
            "width": _pixels(1024),
            "height": _pixels(576),
            "video_frames": ["INT", {"default": 14, "min": 1, "max": 4096}],
            "motion_bucket_id": ["INT", {"default": 127, "min": 1, "max": 1023}],
            "fps": ["INT", {"default": 6, "min": 1, "max": 1024}],
            "augmentation_level": ["FLOAT", {"default": 0.0, "min": 0.0, "max": 10.0, "step": 0.01}],
        },
        returns=("CONDITIONING", "CONDITIONING", "LATENT"),
        return_names=("positive", "negative", "latent"),
        python_module="comfy_extras.nodes_video_model",
    ),
    NodeClass(
        name="VideoLinearCFGGuidance",
        display_name="VideoLinearCFGGuidance",
        category="sampling/video_models",
        work=guide,
        required={
            "model": ["MODEL"],
            "min_cfg": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 100.0, "step": 0.5, "round": 0.01}],
        },
        returns=("MODEL",),
        python_module="comfy_extras.nodes_video_model",
    ),
    NodeClass(
        name="KSampler",
        display_name="KSampler",
        category="sampling",
        work=sample,
        required={
            "model": ["MODEL"],
            "seed": ["INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF, "control_after_generate": True}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}],
            "sampler_name": [SAMPLERS],
            "scheduler": [SCHEDULERS],
            "positive": ["CONDITIONING"],
            "negative": ["CONDITIONING"],
            "latent_image": ["LATENT"],
            "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}],
        },
        returns=("LATENT",),
    ),
    NodeClass(
        name="VAEDecode",
        display_name="VAE Decode",
        category="latent",
        work=decode,
        required={"samples": ["LATENT"], "vae": ["VAE"]},
        returns=("IMAGE",),
    ),
]
