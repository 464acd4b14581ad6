"""Files of other producers, each in the form that the producer itself writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index.making import Making
from index.provenance import Metadata, read_making
from tests.index.test_provenance import JSON, WRITTEN, assert_fit, png, reopened, with_comment


def latin(**texts: str) -> Making | None:
    """The making read back from a PNG whose texts are tEXt chunks, as most programs write them."""
    notes = PngInfo()
    for keyword, written in texts.items():
        notes.add_text(keyword.replace("_time", " time"), written)
    return reopened("PNG", pnginfo=notes)


def utf16(written: str) -> bytes:
    return b"UNICODE\x00" + written.encode("utf-16-be")


class TestSwarmUI:
    WRITTEN = json.dumps(
        {
            "sui_image_params": {
                "prompt": "a photo of a cat",
                "model": "OfficialStableDiffusion/sd_xl_base_1.0",
                "seed": 1,
                "steps": 20,
                "cfgscale": 7.0,
                "aspectratio": "1:1",
                "width": 1024,
                "height": 768,
                "sampler": "dpmpp_2m",
                "scheduler": "karras",
                "negativeprompt": "",
                "swarm_version": "0.9.3.1",
            },
            "sui_extra_data": {"date": "2025-01-25", "generation_time": "4.84 sec"},
            "sui_models": [
                {"name": "vae.safetensors", "param": "vae", "hash": "0x11"},
                {"name": "sd_xl_base_1.0.safetensors", "param": "model", "hash": "0xd7a9105a"},
            ],
        },
        indent=2,
    )
    EXPECTED = Making(
        producer="swarmui",
        prompt="a photo of a cat",
        negative="",
        model="OfficialStableDiffusion/sd_xl_base_1.0",
        model_hash="d7a9105a",
        sampler="dpmpp_2m",
        steps=20,
        guidance=7.0,
        seed=1,
        width=1024,
        height=768,
        duration=4.84,
        extra={
            "aspectratio": "1:1",
            "scheduler": "karras",
            "swarm_version": "0.9.3.1",
            "date": "2025-01-25",
        },
    )

    def test_png(self) -> None:
        assert png(parameters=self.WRITTEN) == self.EXPECTED

    def test_jpeg(self) -> None:
        assert with_comment("JPEG", utf16(self.WRITTEN)) == self.EXPECTED


class TestFooocus:
    FIELDS = {
        "adm_guidance": "(1.5, 0.8, 0.3)",
        "base_model": "juggernautXL_v8Rundiffusion",
        "base_model_hash": "aeb7e9e689",
        "created_by": "a person",
        "full_negative_prompt": ["blurry", "watermark"],
        "full_prompt": ["a red fox, cinematic", "a red fox"],
        "guidance_scale": 4,
        "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
        "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1",
        "metadata_scheme": "fooocus",
        "negative_prompt": "blurry",
        "performance": "Speed",
        "prompt": "a red fox",
        "resolution": "(1152, 896)",
        "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "karras",
        "seed": "7214362346346",
        "steps": 30,
        "version": "Fooocus v2.5.5",
    }
    TEXT = (
        "a red fox, cinematic, a red fox\nNegative prompt: blurry, watermark\n"
        "Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 7214362346346, Size: 1152x896, "
        "CFG scale: 4, Sharpness: 2, Model: juggernautXL_v8Rundiffusion, Model hash: aeb7e9e689, "
        "Performance: Speed, Raw prompt: a red fox, Raw negative prompt: blurry, "
        "Version: Fooocus v2.5.5, User: a person"
    )

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_its_own_scheme(self, kind: str) -> None:
        making = self.made(kind, "fooocus", json.dumps(self.FIELDS))
        assert making is not None and making.producer == "fooocus"
        assert (making.prompt, making.negative) == ("a red fox", "blurry")
        assert (making.model, making.model_hash) == ("juggernautXL_v8Rundiffusion", "aeb7e9e689")
        assert (making.sampler, making.steps, making.guidance) == ("dpmpp_2m_sde_gpu", 30, 4.0)
        assert (making.seed, making.width, making.height) == (7214362346346, 1152, 896)
        assert making.extra["lora_combined_1"] == "sd_xl_offset_example-lora_1.0 : 0.1"
        assert "a person" not in json.dumps(dict(making.extra))

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_the_scheme_of_a1111(self, kind: str) -> None:
        making = self.made(kind, "a1111", self.TEXT)
        assert making is not None and making.producer == "fooocus"
        assert (making.prompt, making.negative) == ("a red fox", "blurry")
        assert (making.width, making.height, making.steps) == (1152, 896, 30)
        assert "a person" not in json.dumps(dict(making.extra))

    def test_a_scheme_nobody_knows_is_left_to_others(self) -> None:
        making = png(fooocus_scheme="later", parameters=self.TEXT)
        assert making is not None and making.producer == "a1111"

    @staticmethod
    def made(kind: str, scheme: str, written: str) -> Making | None:
        if kind == "PNG":
            return latin(parameters=written, fooocus_scheme=scheme)
        exif = Image.Exif()
        exif[0x9286], exif[0x0131], exif[0x927C] = written, "Fooocus v2.5.5", scheme
        return reopened(kind, exif=exif)


class TestInvokeAI:
    def test_current_files(self) -> None:
        making = png(
            invokeai_metadata=json.dumps(
                {
                    "generation_mode": "sdxl_txt2img",
                    "positive_prompt": "isometric cabin",
                    "negative_prompt": "blurry",
                    "width": 1024,
                    "height": 832,
                    "seed": 2718281828,
                    "rand_device": "cpu",
                    "cfg_scale": 5.5,
                    "steps": 30,
                    "scheduler": "dpmpp_2m_sde_k",
                    "model": {
                        "key": "f1a2",
                        "hash": "blake3:7a3e",
                        "name": "Juggernaut XL v9",
                        "base": "sdxl",
                        "type": "main",
                    },
                    "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
                    "init_image": "a file of mine.png",
                    "app_version": "5.4.2",
                }
            )
        )
        assert making == Making(
            producer="invokeai",
            prompt="isometric cabin",
            negative="blurry",
            model="Juggernaut XL v9",
            model_hash="blake3:7a3e",
            sampler="dpmpp_2m_sde_k",
            steps=30,
            guidance=5.5,
            seed=2718281828,
            width=1024,
            height=832,
            extra={
                "generation_mode": "sdxl_txt2img",
                "rand_device": "cpu",
                "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
                "app_version": "5.4.2",
            },
        )

    def test_the_model_name_of_version_three(self) -> None:
        model = {"model_name": "stable-diffusion-v1-5", "base_model": "sd-1", "model_type": "main"}
        making = png(invokeai_metadata=json.dumps({"positive_prompt": "a", "model": model}))
        assert making is not None and making.model == "stable-diffusion-v1-5"

    OLD = {
        "model": "stable diffusion",
        "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb271",
        "app_id": "invoke-ai/InvokeAI",
        "app_version": "2.3.5",
        "image": {
            "prompt": [{"prompt": "a robot reading [blurry, text]", "weight": 1.0}],
            "steps": 50,
            "cfg_scale": 7.5,
            "height": 512,
            "width": 640,
            "seed": 1618033988,
            "type": "txt2img",
            "postprocessing": None,
            "sampler": "k_lms",
            "variations": [],
        },
    }
    DREAM = '"a robot reading [blurry, text]" -s 50 -S 1618033988 -W 640 -H 512 -C 7.5 -A k_lms'

    def test_version_two(self) -> None:
        making = latin(**{"sd-metadata": json.dumps(self.OLD), "Dream": self.DREAM})
        assert making is not None and making.model == "stable-diffusion-1.5"
        assert making.model_hash == "cc6cb271"
        self.check(making)

    def test_the_command_line_of_the_first_files(self) -> None:
        making = latin(Dream=self.DREAM)
        assert making is not None
        self.check(making)

    @staticmethod
    def check(making: Making) -> None:
        assert making.producer == "invokeai"
        assert (making.prompt, making.negative) == ("a robot reading", "blurry, text")
        assert (making.steps, making.guidance, making.sampler) == (50, 7.5, "k_lms")
        assert (making.seed, making.width, making.height) == (1618033988, 640, 512)


class TestNovelAI:
    CHUNKS = {
        "Title": "NovelAI generated image",
        "Description": "1girl, silver hair, 猫",
        "Software": "NovelAI",
        "Source": "NovelAI Diffusion V4.5 4BDE2A90",
        "Generation_time": "4.2",
        "Comment": json.dumps(
            {
                "prompt": "1girl, silver hair, 猫",
                "steps": 28,
                "height": 1216,
                "width": 832,
                "scale": 5.0,
                "cfg_rescale": 0.0,
                "seed": 3141592653,
                "noise_schedule": "karras",
                "sampler": "k_euler_ancestral",
                "uc": "lowres",
                "v4_prompt": {
                    "caption": {
                        "base_caption": "1girl, silver hair, 猫",
                        "char_captions": [{"char_caption": "girl, reading", "centers": []}],
                    },
                    "use_coords": False,
                },
                "v4_negative_prompt": {
                    "caption": {"base_caption": "lowres", "char_captions": []},
                },
                "signed_hash": "abc",
            },
            ensure_ascii=False,
        ),
    }

    def test_a_png_of_version_four(self) -> None:
        making = latin(**self.CHUNKS)
        self.check(making)
        assert making is not None and making.duration == 4.2

    def test_utf8_in_a_latin1_chunk_is_mended(self) -> None:
        raw = {k: v.encode().decode("latin-1") for k, v in self.CHUNKS.items()}
        self.check(latin(**raw))

    def test_a_webp(self) -> None:
        self.check(with_comment("WEBP", utf16(json.dumps(self.CHUNKS))))

    def test_the_first_files_have_the_prompt_in_the_description(self) -> None:
        comment = json.dumps({"steps": 28, "sampler": "ddim", "seed": 5, "scale": 11, "uc": "x"})
        making = latin(Software="NovelAI", Description="a fox", Comment=comment, Source="SD 1D44")
        assert making is not None
        assert (making.prompt, making.negative, making.seed) == ("a fox", "x", 5)

    @staticmethod
    def check(making: Making | None) -> None:
        assert making is not None and making.producer == "novelai"
        assert (making.prompt, making.negative) == ("1girl, silver hair, 猫", "lowres")
        assert making.model == "NovelAI Diffusion V4.5 4BDE2A90"
        assert (making.sampler, making.steps, making.guidance) == ("k_euler_ancestral", 28, 5.0)
        assert (making.seed, making.width, making.height) == (3141592653, 832, 1216)
        assert making.extra["characters"] == ["girl, reading"]


class TestMflux:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_the_user_comment(self, kind: str) -> None:
        told = {
            "mflux_version": "0.17.0",
            "model": "black-forest-labs/FLUX.1-schnell",
            "base_model": "None",
            "seed": 42,
            "steps": 4,
            "guidance": None,
            "height": 1024,
            "width": 768,
            "precision": "mlx.core.bfloat16",
            "quantize": 8,
            "generation_time_seconds": 31.2,
            "created_at": "2026-01-02T03:04:05.000006",
            "lora_paths": ["/Users/someone/loras/ink.safetensors"],
            "lora_scales": [0.8],
            "image_path": "/Users/someone/secret.png",
            "prompt": "a red fox",
            "negative_prompt": None,
        }
        making = with_comment(kind, b"ASCII\x00\x00\x00" + json.dumps(told).encode())
        assert making == Making(
            producer="mflux",
            prompt="a red fox",
            model="black-forest-labs/FLUX.1-schnell",
            steps=4,
            seed=42,
            width=768,
            height=1024,
            dtype="bfloat16",
            duration=31.2,
            extra={
                "mflux_version": "0.17.0",
                "base_model": "None",
                "quantize": 8,
                "created_at": "2026-01-02T03:04:05.000006",
                "lora_scales": [0.8],
                "loras": ["ink.safetensors"],
            },
        )


class TestDgenerate:
    CONFIG = (
        "#! /usr/bin/env dgenerate --file\n#! dgenerate 5.0.0\n\n"
        "stabilityai/stable-diffusion-xl-base-1.0 \\\n--model-type sdxl \\\n--dtype float16 \\\n"
        "--variant fp16 \\\n--inference-steps 30 \\\n--guidance-scales 5.5 \\\n"
        "--schedulers EulerDiscreteScheduler \\\n--seeds 9182 \\\n--output-size 1024x832 \\\n"
        "--prompts 'a red fox in the woods, with a tail that is \\\n"
        "          longer than the fox; blurry, text'"
    )

    def test_png(self) -> None:
        self.check(latin(DgenerateConfig=self.CONFIG))

    def test_jpeg(self) -> None:
        self.check(with_comment("JPEG", utf16(self.CONFIG)))

    def test_a_path_is_cut_to_its_last_part(self) -> None:
        config = self.CONFIG.replace("stabilityai/stable", "/home/someone/models/stable")
        making = latin(DgenerateConfig=config)
        assert making is not None and making.model == "stable-diffusion-xl-base-1.0"

    def test_a_quote_that_never_closes(self) -> None:
        making = latin(DgenerateConfig=self.CONFIG[:-1])
        assert making is not None and making.steps == 30

    @staticmethod
    def check(making: Making | None) -> None:
        assert making is not None and making.producer == "dgenerate"
        assert making.prompt is not None
        assert making.prompt.split() == (
            "a red fox in the woods, with a tail that is longer than the fox".split()
        )
        assert making.negative == "blurry, text"
        assert making.model == "stabilityai/stable-diffusion-xl-base-1.0"
        assert (making.steps, making.guidance, making.seed) == (30, 5.5, 9182)
        assert (making.width, making.height, making.dtype) == (1024, 832, "float16")
        assert making.sampler == "EulerDiscreteScheduler"


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


class TestComfyUI:
    BASIC = {
        "3": node(
            "KSampler",
            seed=156680208700286,
            steps=20,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            model=["10", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="SDXL\\v1-5-pruned-emaonly.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text="beautiful scenery", clip=["10", 1]),
        "7": node("CLIPTextEncode", text="text, watermark", clip=["10", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.8, model=["4", 0]),
    }
    EXPECTED = Making(
        producer="comfyui",
        prompt="beautiful scenery",
        negative="text, watermark",
        model="v1-5-pruned-emaonly",
        sampler="euler",
        steps=20,
        guidance=8.0,
        seed=156680208700286,
        width=512,
        height=768,
        extra={
            "scheduler": "normal",
            "denoise": 1,
            "loras": [{"name": "ink", "strength": 0.8}],
        },
    )

    def test_the_first_graph_everybody_sees(self) -> None:
        workflow = json.dumps({"nodes": [], "links": []})
        assert latin(prompt=json.dumps(self.BASIC), workflow=workflow) == self.EXPECTED

    def test_a_webp_keeps_it_in_exif(self) -> None:
        exif = Image.Exif()
        exif[0x0110] = f"prompt:{json.dumps(self.BASIC)}"
        exif[0x010F] = 'workflow:{"nodes": []}'
        assert reopened("WEBP", exif=exif) == self.EXPECTED

    def test_a_flux_graph_gathers_its_settings_from_many_nodes(self) -> None:
        graph = {
            "13": node(
                "SamplerCustomAdvanced",
                noise=["25", 0],
                guider=["22", 0],
                sampler=["16", 0],
                sigmas=["17", 0],
                latent_image=["27", 0],
            ),
            "25": node("RandomNoise", noise_seed=219670278747233),
            "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
            "16": node("KSamplerSelect", sampler_name="euler"),
            "17": node("BasicScheduler", scheduler="simple", steps=["40", 0], model=["30", 0]),
            "40": node("PrimitiveInt", value=24),
            "27": node("EmptySD3LatentImage", width=1024, height=["41", 0], batch_size=1),
            "41": node("PrimitiveInt", value=960),
            "30": node("ModelSamplingFlux", model=["12", 0], max_shift=1.15),
            "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
            "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
            "6": node("CLIPTextEncodeFlux", clip_l="a fox", t5xxl="a red fox", clip=["11", 0]),
            "9": node("SaveImage", images=["8", 0]),
            "8": node("VAEDecode", samples=["13", 0]),
        }
        making = latin(prompt=json.dumps(graph))
        assert making is not None
        assert (making.prompt, making.negative) == ("a fox, a red fox", None)
        assert (making.seed, making.steps, making.guidance) == (219670278747233, 24, 3.5)
        assert (making.model, making.sampler) == ("flux1-dev", "euler")
        assert (making.width, making.height) == (1024, 960)

    def test_words_are_followed_through_a_controlnet_by_their_role(self) -> None:
        control = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0])
        sampler = json.loads(json.dumps(self.BASIC["3"]))
        sampler["inputs"] |= {"positive": ["20", 0], "negative": ["20", 1]}
        making = latin(prompt=json.dumps(self.BASIC | {"20": control, "3": sampler}))
        assert making == self.EXPECTED

    def test_the_second_pass_is_the_one_that_saved(self) -> None:
        second = json.loads(json.dumps(self.BASIC["3"]))
        second["inputs"] |= {"seed": 9, "latent_image": ["3", 0], "denoise": 0.5}
        decode = node("VAEDecode", samples=["30", 0])
        making = latin(prompt=json.dumps(self.BASIC | {"30": second, "8": decode}))
        assert making is not None and (making.seed, making.extra["denoise"]) == (9, 0.5)
        assert (making.width, making.height) == (512, 768)

    def test_nan_in_a_graph(self) -> None:
        graph = json.dumps(self.BASIC).replace('"cfg": 8', '"cfg": NaN')
        making = latin(prompt=graph)
        assert making is not None and making.guidance is None and making.steps == 20

    def test_a_graph_that_bites_its_tail_ends(self) -> None:
        graph = {
            "1": node("KSampler", seed=1, model=["1", 0], positive=["2", 0], negative=["1", 0]),
            "2": node("ConditioningCombine", a=["2", 0], b=["3", 0], c=["3", 0]),
            "3": node("ConditioningCombine", a=["2", 0], b=["1", 0], text="fox"),
        }
        making = latin(prompt=json.dumps(graph))
        assert making is not None and (making.prompt, making.seed) == ("fox", 1)

    def test_a_plain_text_named_prompt_is_no_graph(self) -> None:
        assert latin(prompt="a red fox") is None
        assert latin(prompt='{"a": 1, "b": {"inputs": []}}') is None


LINK = st.lists(st.sampled_from("1234"), min_size=1, max_size=1).map(lambda a: [*a, 0])
INPUTS = st.dictionaries(
    st.sampled_from("seed steps cfg model positive negative guider text width height".split()),
    LINK | JSON,
)
NODE = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["KSampler", "SaveImage", "x", 3]), "inputs": INPUTS | JSON}
)
GRAPH = st.dictionaries(st.sampled_from("1234"), NODE | JSON).map(json.dumps)
KEYS = (
    "prompt workflow invokeai_metadata sd-metadata Dream Software Comment DgenerateConfig "
    "parameters fooocus_scheme".split()
)
SEEDS = (
    json.dumps({"sui_image_params": {"seed": 1}, "sui_models": [1]}),
    json.dumps({"mflux_version": 1, "lora_paths": [None, "\ud800"], "seed": 2**70}),
    '"a" -s -S 1e9 -W',
    "#! dgenerate\n--prompts ' --seeds -1",
    "fooocus",
    "a1111",
    "NovelAI",
)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), WRITTEN | GRAPH | st.sampled_from(SEEDS)),
    WRITTEN | GRAPH | st.sampled_from(SEEDS),
    st.dictionaries(st.sampled_from([0x010F, 0x0110, 0x927C]), WRITTEN | GRAPH),
)
def test_no_reader_raises_and_all_is_fit_to_keep(
    texts: dict[str, str], comment: str, exif: dict[int, str]
) -> None:
    assert_fit(read_making(Metadata(texts=texts, comment=comment, exif=exif)))
