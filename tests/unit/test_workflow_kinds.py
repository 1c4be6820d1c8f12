"""Graphs as people really export them, without placeholders: the bindings that are found in each."""

import json
from typing import Any

import pytest

from comfytui.model.bindings import Bindings
from comfytui.model.workflow import Values, Workflow, decode_workflow, render


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": f"a {kind}"}}


def workflow(graph: dict[str, Any], bindings: dict[str, object] | None = None) -> Workflow:
    return decode_workflow(json.dumps(graph).encode(), "mine", "mine.json", bindings)


def found(bindings: Bindings) -> dict[str, list[str]]:
    """The bindings as ``{kind: ["node.input"]}``, empty kinds left out."""
    kinds = {kind: getattr(bindings, kind) for kind in bindings.__struct_fields__}
    return {kind: [f"{slot.node}.{slot.input}" for slot in slots] for kind, slots in kinds.items() if slots}


VALUES = Values(prefix="run/s-a1", prompt="a lamp", negative="blur", keyframe="key.png", seed=77, frame_count=24)

SAMPLING = {"steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}

SD15 = {
    "3": node(
        "KSampler", seed=1, model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0], **SAMPLING
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
    "6": node("CLIPTextEncode", text="beautiful scenery", clip=["4", 1]),
    "7": node("CLIPTextEncode", text="text, watermark", clip=["4", 1]),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
}

SDXL = {
    "4": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
    "12": node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
    "5": node("EmptyLatentImage", width=1024, height=1024, batch_size=1),
    "6": node("CLIPTextEncodeSDXL", width=1024, height=1024, crop_w=0, crop_h=0, text_g="a", text_l="a", clip=["4", 1]),
    "7": node("CLIPTextEncodeSDXL", width=1024, height=1024, crop_w=0, crop_h=0, text_g="b", text_l="b", clip=["4", 1]),
    "10": node(
        "KSamplerAdvanced", noise_seed=1, model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]
    ),
    "15": node("CLIPTextEncodeSDXLRefiner", ascore=6.0, width=1024, height=1024, text="a", clip=["12", 1]),
    "16": node("CLIPTextEncodeSDXLRefiner", ascore=2.5, width=1024, height=1024, text="b", clip=["12", 1]),
    "11": node(
        "KSamplerAdvanced",
        noise_seed=0,
        model=["12", 0],
        positive=["15", 0],
        negative=["16", 0],
        latent_image=["10", 0],
    ),
    "17": node("VAEDecode", samples=["11", 0], vae=["12", 2]),
    "19": node("SaveImage", filename_prefix="xl", images=["17", 0]),
}

FLUX = {
    "6": node("CLIPTextEncode", text="a fox", clip=["11", 0]),
    "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
    "9": node("SaveImage", filename_prefix="flux", images=["8", 0]),
    "10": node("VAELoader", vae_name="ae.safetensors"),
    "11": node("DualCLIPLoader", clip_name1="t5xxl", clip_name2="clip_l", type="flux"),
    "12": node("UNETLoader", unet_name="flux1-dev", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["25", 0],
        guider=["22", 0],
        sampler=["16", 0],
        sigmas=["17", 0],
        latent_image=["27", 0],
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1.0, model=["30", 0]),
    "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
    "25": node("RandomNoise", noise_seed=219670278747233),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "27": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
    "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, height=1024, model=["12", 0]),
}

FLUX_KSAMPLER = {
    "1": node("CheckpointLoaderSimple", ckpt_name="flux1-dev-fp8.safetensors"),
    "2": node("CLIPTextEncodeFlux", clip_l="a fox", t5xxl="a red fox in snow", guidance=3.5, clip=["1", 1]),
    "3": node("ConditioningZeroOut", conditioning=["2", 0]),
    "4": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
    "5": node(
        "KSampler", seed=3, model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["4", 0], **SAMPLING
    ),
    "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
    "7": node("SaveImage", filename_prefix="flux", images=["6", 0]),
}

CONTROLLED = {
    **SD15,
    "3": node(
        "KSampler", seed=1, model=["4", 0], positive=["20", 0], negative=["20", 1], latent_image=["5", 0], **SAMPLING
    ),
    "20": node(
        "ControlNetApplyAdvanced",
        positive=["21", 0],
        negative=["7", 0],
        control_net=["22", 0],
        image=["23", 0],
        strength=1.0,
    ),
    "21": node("ControlNetApply", conditioning=["6", 0], control_net=["22", 0], image=["23", 0], strength=1.0),
    "22": node("ControlNetLoader", control_net_name="canny"),
    "23": node("LoadImage", image="edges.png"),
}

ANIMATEDIFF = {
    "1": node("CheckpointLoaderSimple", ckpt_name="dreamshaper.safetensors"),
    "2": node("ADE_LoadAnimateDiffModel", model_name="mm_sd15_v3.safetensors"),
    "3": node("ADE_ApplyAnimateDiffModelSimple", motion_model=["2", 0]),
    "4": node("ADE_UseEvolvedSampling", model=["1", 0], m_models=["3", 0], context_options=["5", 0]),
    "5": node("ADE_LoopedUniformContextOptions", context_length=16, context_stride=1, context_overlap=4),
    "6": node("PrimitiveStringMultiline", value="a walking robot"),
    "7": node("CLIPTextEncode", text=["6", 0], clip=["1", 1]),
    "8": node("CLIPTextEncode", text="worst quality", clip=["1", 1]),
    "9": node("EmptyLatentImage", width=512, height=512, batch_size=["10", 0]),
    "10": node("PrimitiveInt", value=16),
    "11": node("KSampler", seed=["12", 0], model=["4", 0], positive=["7", 0], negative=["8", 0], latent_image=["9", 0]),
    "12": node("PrimitiveInt", value=5),
    "13": node("VAEDecode", samples=["11", 0], vae=["1", 2]),
    "14": node(
        "VHS_VideoCombine", images=["13", 0], frame_rate=8, loop_count=0, filename_prefix="AnimateDiff",
        format="video/h264-mp4", pix_fmt="yuv420p", crf=19, save_output=True, pingpong=False,
        videopreview={"hidden": False, "params": {"filename": "AnimateDiff_00001.mp4"}},
    ),
}  # fmt: skip

SVD = {
    "12": node("KSampler", seed=2, model=["14", 0], positive=["18", 0], negative=["18", 1], latent_image=["18", 2]),
    "14": node("VideoLinearCFGGuidance", min_cfg=1.0, model=["15", 0]),
    "15": node("ImageOnlyCheckpointLoader", ckpt_name="svd_xt.safetensors"),
    "8": node("VAEDecode", samples=["12", 0], vae=["15", 2]),
    "10": node("SaveAnimatedWEBP", filename_prefix="svd", fps=10.0, images=["8", 0]),
    "18": node(
        "SVD_img2vid_Conditioning", clip_vision=["15", 1], init_image=["23", 0], vae=["15", 2], width=1024, height=576,
        video_frames=14, motion_bucket_id=127, fps=6, augmentation_level=0.0,
    ),
    "23": node("LoadImage", image="mountains.png"),
}  # fmt: skip

WAN = {
    "1": node("UNETLoader", unet_name="wan2.1_i2v", weight_dtype="default"),
    "2": node("CLIPLoader", clip_name="umt5", type="wan"),
    "3": node("VAELoader", vae_name="wan_vae"),
    "4": node("CLIPTextEncode", text="a cat", clip=["2", 0]),
    "5": node("CLIPTextEncode", text="static", clip=["2", 0]),
    "6": node("LoadImage", image="style.png"),
    "7": node("LoadImage", image="start.png"),
    "8": node("ImageScale", image=["7", 0], width=832, height=480, upscale_method="lanczos", crop="center"),
    "9": node("CLIPVisionEncode", clip_vision=["10", 0], image=["6", 0], crop="none"),
    "10": node("CLIPVisionLoader", clip_name="clip_vision_h"),
    "11": node(
        "WanImageToVideo", positive=["4", 0], negative=["5", 0], vae=["3", 0], clip_vision_output=["9", 0],
        start_image=["8", 0], width=832, height=480, length=33, batch_size=1,
    ),
    "12": node("KSampler", seed=9, model=["1", 0], positive=["11", 0], negative=["11", 1], latent_image=["11", 2]),
    "13": node("VAEDecode", samples=["12", 0], vae=["3", 0]),
    "14": node("SaveImage", filename_prefix="wan", images=["13", 0]),
    "15": node("CreateVideo", images=["13", 0], fps=16.0),
    "16": node("SaveVideo", video=["15", 0], filename_prefix="video/wan", format="auto", codec="auto"),
}  # fmt: skip

WAN_WRAPPER = {
    "1": node("WanVideoModelLoader", model="wan.safetensors"),
    "2": node("LoadWanVideoT5TextEncoder", model_name="umt5"),
    "3": node("WanVideoTextEncode", positive_prompt="a cat", negative_prompt="static", t5=["2", 0]),
    "4": node("WanVideoEmptyEmbeds", width=832, height=480, num_frames=81),
    "5": node("WanVideoSampler", model=["1", 0], text_embeds=["3", 0], image_embeds=["4", 0], steps=30, seed=4),
    "6": node("WanVideoDecode", samples=["5", 0]),
    "7": node("SaveImage", images=["6", 0], filename_prefix="w"),
}

EFFICIENT = {
    "1": node(
        "Efficient Loader", ckpt_name="x", positive="a dog", negative="ugly", empty_latent_width=512, batch_size=1
    ),
    "2": node("KSampler (Efficient)", model=["1", 0], positive=["1", 1], negative=["1", 2], seed=8),
    "3": node("SaveImage", images=["2", 5], filename_prefix="e"),
}

SERVICE = {
    "1": node("KlingTextToVideoNode", prompt="a ship", negative_prompt="rain", cfg_scale=0.5, mode="std"),
    "2": node("SaveVideo", video=["1", 0], filename_prefix="k", format="auto", codec="auto"),
}

STYLED = {
    **SD15,
    "6": node("CLIPTextEncode", text=["31", 0], clip=["4", 1]),
    "30": node("PrimitiveString", value="a harbour"),
    "31": node("StringConcatenate", string_a="oil painting of", string_b=["32", 0], delimiter=" "),
    "32": node("Reroute", **{"": ["30", 0]}),
}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        pytest.param(
            SD15,
            {"positive": ["6.text"], "negative": ["7.text"], "prefix": ["9.filename_prefix"], "seed": ["3.seed"],
             "frames": ["5.batch_size"]},
            id="sd15",
        ),
        pytest.param(
            SDXL,
            {"positive": ["6.text_g", "6.text_l", "15.text"], "negative": ["7.text_g", "7.text_l", "16.text"],
             "prefix": ["19.filename_prefix"], "seed": ["10.noise_seed", "11.noise_seed"], "frames": ["5.batch_size"]},
            id="sdxl",
        ),
        pytest.param(
            FLUX,
            {"positive": ["6.text"], "prefix": ["9.filename_prefix"], "seed": ["25.noise_seed"],
             "frames": ["27.batch_size"]},
            id="flux",
        ),
        pytest.param(
            FLUX_KSAMPLER,
            {"positive": ["2.clip_l", "2.t5xxl"], "prefix": ["7.filename_prefix"], "seed": ["5.seed"],
             "frames": ["4.batch_size"]},
            id="flux-zeroed-negative",
        ),
        pytest.param(
            CONTROLLED,
            {"positive": ["6.text"], "negative": ["7.text"], "keyframe": ["23.image"], "prefix": ["9.filename_prefix"],
             "seed": ["3.seed"], "frames": ["5.batch_size"]},
            id="controlnet",
        ),
        pytest.param(
            ANIMATEDIFF,
            {"positive": ["6.value"], "negative": ["8.text"], "prefix": ["14.filename_prefix"], "seed": ["12.value"],
             "frames": ["10.value"]},
            id="animatediff",
        ),
        pytest.param(
            SVD,
            {"keyframe": ["23.image"], "prefix": ["10.filename_prefix"], "seed": ["12.seed"],
             "frames": ["18.video_frames"]},
            id="svd",
        ),
        pytest.param(
            WAN,
            {"positive": ["4.text"], "negative": ["5.text"], "keyframe": ["7.image"],
             "prefix": ["14.filename_prefix", "16.filename_prefix"], "seed": ["12.seed"], "frames": ["11.length"]},
            id="wan",
        ),
        pytest.param(
            WAN_WRAPPER,
            {"positive": ["3.positive_prompt"], "negative": ["3.negative_prompt"], "prefix": ["7.filename_prefix"],
             "seed": ["5.seed"], "frames": ["4.num_frames"]},
            id="wan-wrapper",
        ),
        pytest.param(
            EFFICIENT,
            {"positive": ["1.positive"], "negative": ["1.negative"], "prefix": ["3.filename_prefix"],
             "seed": ["2.seed"]},
            id="efficient",
        ),
        pytest.param(
            SERVICE,
            {"positive": ["1.prompt"], "negative": ["1.negative_prompt"], "prefix": ["2.filename_prefix"]},
            id="service",
        ),
        pytest.param(
            STYLED,
            {"positive": ["30.value"], "negative": ["7.text"], "prefix": ["9.filename_prefix"], "seed": ["3.seed"],
             "frames": ["5.batch_size"]},
            id="concatenated",
        ),
    ],
)  # fmt: skip
def test_bindings_are_found(graph: dict[str, Any], expected: dict[str, list[str]]) -> None:
    loaded = workflow(graph)
    assert found(loaded.bindings) == expected
    prompt = render(loaded, VALUES)
    for place in expected.get("positive", ()):
        key, _, name = place.partition(".")
        assert prompt[key]["inputs"][name] == "a lamp"


def test_several_outputs_get_prefixes_of_their_own() -> None:
    prompt = render(workflow(WAN), VALUES)
    assert prompt["14"]["inputs"]["filename_prefix"] == "run/s-a1"
    assert prompt["16"]["inputs"]["filename_prefix"] == "run/s-a1_n16"


@pytest.mark.parametrize(
    ("key", "shares", "expected"),
    [("0", "wan", "run/s-a1"), ("99", "video/wan", "run/s-a1_n16"), ("0", "x", "run/s-a1")],
)
def test_a_done_marker_keeps_the_prefix_of_the_output_it_was_saved_with(key: str, shares: str, expected: str) -> None:
    """Whatever the ids are: a marker of another prefix than the frames would be awaited in vain."""
    prompt = render(workflow({**WAN, key: node("WriteDoneMarker", filename_prefix=shares, images=["13", 0])}), VALUES)
    assert prompt["14"]["inputs"]["filename_prefix"] == "run/s-a1"
    assert prompt[key]["inputs"]["filename_prefix"] == expected


def test_a_video_model_is_asked_for_no_fewer_frames_than_the_scene_wants() -> None:
    # 24 frames would come out as 21: the first one and five whole groups of four
    assert render(workflow(WAN), VALUES)["11"]["inputs"]["length"] == 25
    assert render(workflow(SVD), VALUES)["18"]["inputs"]["video_frames"] == 24


def test_a_workflow_keeps_its_own_negative_where_the_scene_has_none() -> None:
    bare = Values(prefix="p", prompt="x", seed=1, frame_count=1)
    assert render(workflow(SD15), bare)["7"]["inputs"]["text"] == "text, watermark"
    assert render(workflow(SD15), VALUES)["7"]["inputs"]["text"] == "blur"


def test_one_text_behind_both_prompts_is_the_positive_one() -> None:
    shared = {**SD15, "3": node("KSampler", seed=1, positive=["6", 0], negative=["6", 0], latent_image=["5", 0])}
    bindings = workflow(shared).bindings
    assert [slot.node for slot in bindings.positive] == ["6"]
    assert bindings.negative == ()


def test_a_picture_that_no_output_needs_is_no_keyframe() -> None:
    assert not workflow({**SD15, "40": node("LoadImage", image="left-over.png")}).needs_keyframe


def test_arithmetic_is_not_overwritten_with_the_frame_count() -> None:
    graph = {
        **SD15,
        "5": node("EmptyHunyuanLatentVideo", width=512, height=512, length=["41", 0], batch_size=1),
        "41": node("MathExpression", a=["42", 0], expression="a*16+1"),
        "42": node("PrimitiveInt", value=5),
    }
    assert "42" not in {slot.node for slot in workflow(graph).bindings.frames}


def test_combined_texts_are_all_replaced_and_that_is_said() -> None:
    graph = {
        **SD15,
        "3": node("KSampler", seed=1, positive=["50", 0], negative=["7", 0], latent_image=["5", 0]),
        "50": node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["51", 0]),
        "51": node("CLIPTextEncode", text="in the style of rain", clip=["4", 1]),
    }
    loaded = workflow(graph)
    assert found(loaded.bindings)["positive"] == ["6.text", "51.text"]
    assert any("6.text, 51.text" in warning for warning in loaded.warnings)
    named = workflow(graph, {"positive": "6.text"})
    assert found(named.bindings)["positive"] == ["6.text"]
    assert not any("51.text" in warning for warning in named.warnings)


def test_of_several_pictures_the_choice_is_said() -> None:
    (warning,) = [warning for warning in workflow(WAN).warnings if "pictures" in warning]
    assert "node 7 (a LoadImage)" in warning


def test_a_video_file_counts_as_one_frame_and_that_is_said() -> None:
    assert any("VHS_VideoCombine" in warning for warning in workflow(ANIMATEDIFF).warnings)
    assert not any("SaveVideo" in warning for warning in workflow(WAN).warnings)


def test_a_chain_of_ten_thousand_nodes_is_followed() -> None:
    chain = {str(n): node("ConditioningSetMask", conditioning=[str(n + 1), 0]) for n in range(100, 10_100)}
    graph = {**SD15, **chain, "10100": node("CLIPTextEncode", text="far", clip=["4", 1])}
    graph["3"] = node("KSampler", seed=1, positive=["100", 0], negative=["7", 0], latent_image=["5", 0])
    assert found(workflow(graph).bindings)["positive"] == ["10100.text"]
