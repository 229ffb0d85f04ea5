"""Small models of every architecture of transformers, and inputs that each of them runs on.

No table of models: a configuration is made small in several ways, from very narrow to only shallow, and what the
signature of `forward` names is filled in, until the model runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Build: TypeAlias = Callable[[], tuple[nn.Module, Any]]  # -> the model and its example inputs
Fields: TypeAlias = dict[str, Any]  # of a configuration, those of its parts as dicts

LARGEST = 150_000_000  # parameters of a model that is worth its time
WORDS, BATCH = 9, 2
_LAYERS = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"),
    *("num_encoder_layers", "num_decoder_layers", "depth"),
)
_HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads", "encoder_attention_heads", "decoder_attention_heads")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim")
# By attribute of a configuration, whichever it has: enough layers, heads and widths for every coupling to show.
_TOKENS = {
    "vocab_size": 99,
    "vocab_size_per_layer_input": 99,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
_EXPERTS = {
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
}
_LEFT_OPEN = ("head_dim", "vocab_size", "prediction_length")
_DEPTH = dict.fromkeys(_LAYERS, 2) | {"num_kv_shared_layers": 0}
_NARROW = {
    **_TOKENS,
    **_EXPERTS,
    **_DEPTH,
    **dict.fromkeys(_WIDTHS, 32),
    **dict.fromkeys(_HEADS, 4),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_kv": 8,
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 64),
    "moe_intermediate_size": 16,
    "prediction_length": 4,
    "image_size": 32,
    "patch_size": 8,
}


def transformers_models() -> Iterator[tuple[str, Build]]:
    """The base model of every architecture of transformers in a small configuration, then all with a task's head."""
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    heads = sorted(name for name in vars(modeling_auto) if name.startswith("AutoModelFor"))
    seen: set[object] = set()  # several tasks may share a class
    for automatic in ("AutoModel", *heads):
        maker = getattr(modeling_auto, automatic)
        task = automatic.removeprefix("AutoModel")
        classes = maker._model_mapping._model_mapping
        for kind in CONFIG_MAPPING_NAMES:
            if classes.get(kind, None) not in (None, *seen):
                seen.add(classes[kind])
                yield f"transformers/{kind} {task}".strip(), partial(_transformer, kind, maker)


def _transformer(kind: str, maker: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The smallest model that runs, on the simplest inputs. Raises the first error where none does.

    Args:
        kind: Of the architecture, as its configuration names it.
        maker: The class of transformers that makes a model of a configuration, such as `AutoModel`.
    """
    first: Exception | None = None
    for config in _small_configurations(kind):
        try:
            model = _model(config, maker)
            return model, _first_that_runs(model, config)
        except Exception as error:
            first = first or error
    raise first or RuntimeError("no configuration can be made smaller")


def _model(config: Any, maker: Any) -> nn.Module:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in maker.from_config(config).parameters())
    if count > LARGEST:
        raise MemoryError(f"{count} parameters")
    torch.manual_seed(0)
    model: nn.Module = maker.from_config(config).eval()
    return model


# ------------------------------------------------------------------------------------------------------ configurations


def _small_configurations(kind: str) -> Iterator[Any]:
    """Configurations from the narrowest to one that is only shallow; what cannot be built is left out."""
    from transformers import AutoConfig

    default = AutoConfig.for_model(kind)
    for smaller in (_narrow, _fewer_heads, _shallow):
        for fields in (_changes(default, smaller), _all_fields(default, smaller)):
            try:
                yield type(default).from_dict(fields)
            except Exception:
                continue


def _narrow(fields: Fields) -> Fields:
    return _replaced(fields, _NARROW)


def _fewer_heads(fields: Fields) -> Fields:
    """Four heads as wide as they were: what is derived from the width of a head stays right."""
    new = _replaced(fields, {**_TOKENS, **_EXPERTS, **_DEPTH, **dict.fromkeys(_HEADS, 4)})
    heads = next((fields[name] for name in _HEADS if _is_size(fields.get(name))), 0)
    for name in _WIDTHS if heads > 4 else ():
        if _is_size(fields.get(name)) and fields[name] % heads == 0:
            new[name] = fields[name] // heads * 4
    grouped = fields.get("num_key_value_heads")
    if _is_size(grouped):
        new["num_key_value_heads"] = 4 if grouped == heads else 2
    return new


def _shallow(fields: Fields) -> Fields:
    return _replaced(fields, {**_TOKENS, **_DEPTH})


def _replaced(fields: Fields, sizes: Mapping[str, int]) -> Fields:
    found = {name: value for name, value in sizes.items() if _is_size(fields.get(name))}
    # what a default leaves open
    open_ones = {name: sizes[name] for name in _LEFT_OPEN if fields.get(name, 0) is None and name in sizes}
    return found | open_ones


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _changes(config: Any, smaller: Callable[[Fields], Fields]) -> Fields:
    """Only what is made smaller: what a configuration derives from it is derived anew."""
    found = smaller(config.to_dict())
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None:
            found[name] = _changes(part, smaller) | {"model_type": part.model_type}
    return found


def _all_fields(config: Any, smaller: Callable[[Fields], Fields]) -> Fields:
    """All that a configuration holds, without a cache; of what it says for each layer, the first and the last."""
    fields = config.to_dict()
    fields.pop("per_layer_config", None)
    found = smaller(fields) | ({"use_cache": False} if fields.get("use_cache") else {})
    depths = {fields[name] for name in _LAYERS if _is_size(fields.get(name))}
    for name, value in fields.items():
        if isinstance(value, list) and len(value) in depths and len(value) > 2:
            found[name] = [value[0], value[-1]]
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None:
            found[name] = _all_fields(part, smaller)
    return fields | found


# -------------------------------------------------------------------------------------------------------------- inputs


def _first_that_runs(model: nn.Module, config: Any) -> dict[str, Any]:
    """Raises the error of the simplest inputs where none runs."""
    first: Exception | None = None
    for inputs in _candidates(model, config):
        try:
            with torch.no_grad():
                model(**inputs)
            return inputs
        except Exception as error:
            first = first or error
    raise first or RuntimeError("nothing in the signature of forward is known")


def _candidates(model: nn.Module, config: Any) -> Iterator[dict[str, Any]]:
    """The main input and what has to be given; then with every modality; then all that is known."""
    parameters = inspect.signature(model.forward).parameters
    required = [name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    main = getattr(model, "main_input_name", "input_ids")
    wanted = [main] if main in parameters or not required else []
    decoder = [name for name in ("decoder_input_ids",) if name in parameters]
    modalities = [name for name in _MODALITIES if name in parameters]
    seen: list[tuple[str, ...]] = []
    for names in (
        (*wanted, *required),
        (*wanted, *required, *decoder),
        (*wanted, *required, *modalities),
        (*wanted, *required, *modalities, *decoder),
        tuple(name for name in parameters if name in _GIVEN and not (name == "inputs_embeds" and main == "input_ids")),
    ):
        chosen = tuple(dict.fromkeys(names))
        if chosen and chosen not in seen:
            seen.append(chosen)
            yield from _filled(chosen, config)


def _filled(names: tuple[str, ...], config: Any) -> Iterator[dict[str, Any]]:
    known = {name: _provider(name) for name in names}
    if any(give is None for give in known.values()):
        return
    variants = [Sizes(config, names, side, layout) for side in _sides(names, config) for layout in _layouts(names)]
    for sizes in variants:
        try:
            yield {name: give(sizes) for name, give in known.items() if give is not None}
        except Exception:
            continue


def _sides(names: tuple[str, ...], config: Any) -> tuple[int, ...]:
    if not any("pixel" in name for name in names):
        return (32,)
    own = _field(config, "image_size", 32)
    own = own[0] if isinstance(own, list | tuple) else own
    return tuple(sorted({side for side in (own, 64, 224) if _is_size(side)}))


def _layouts(names: tuple[str, ...]) -> tuple[int, ...]:
    several = {*names} & {"input_features", "input_values", "past_values", *_GRIDS}
    return (0, 1, 2) if several else (0,)


def _field(config: Any, name: str, default: Any) -> Any:
    """An attribute of a configuration, or of the first of its parts that has it."""
    own = getattr(config, name, None)
    if own is not None:
        return own
    parts = [getattr(config, part, None) for part in getattr(config, "sub_configs", {})]
    found = (_field(part, name, None) for part in parts if part is not None)
    return next((value for value in found if value is not None), default)


class Sizes:
    """What the example inputs of one model are made by."""

    def __init__(self, config: Any, names: tuple[str, ...], side: int, layout: int) -> None:
        self.config = config
        self.names = names  # of all inputs
        self.side = side  # of images, in pixels
        self.layout = layout  # which of the shapes that an input may have

    def field(self, name: str, default: Any) -> Any:
        return _field(self.config, name, default)

    @cached_property
    def words(self) -> Tensor:
        return torch.randint(3, max(4, min(90, self.field("vocab_size", 90))), (BATCH, WORDS))

    @property
    def image(self) -> Tensor:
        """As pixels, or in patches where their grid is given too."""
        if {*self.names} & {*_GRIDS}:
            return self.patches
        return torch.randn(BATCH, self.field("num_channels", self.field("in_channels", 3)), self.side, self.side)

    @property
    def patches(self) -> Tensor:
        """Of a 4 x 4 grid: of as many frames as the configuration says or of two, in rows; or in squares."""
        side, channels = self.field("patch_size", 8), self.field("in_channels", self.field("num_channels", 3))
        if self.layout == 2:
            return torch.randn(16, channels, side, side)
        return torch.randn(16, channels * (self.field("temporal_patch_size", 1), 2)[self.layout] * side * side)

    @property
    def features(self) -> Tensor:
        bins = self.field("num_mel_bins", self.field("feature_size", 80))
        return torch.randn((BATCH, bins, 128) if self.layout == 0 else (BATCH, (128, 3000)[self.layout - 1], bins))

    @property
    def wave(self) -> Tensor:
        mel = (BATCH, self.field("max_length", 128), self.field("num_mel_bins", 80))
        return torch.randn(((BATCH, 4096), (BATCH, 1, 4096), mel)[self.layout])

    @property
    def series(self) -> Tensor:
        steps = self.field("context_length", 32) + max(self.field("lags_sequence", [0]))
        channels = self.field("num_input_channels", 1)
        return torch.randn((BATCH, steps) if self.layout == 0 else (BATCH, steps, channels))


_GRIDS = ("grid_thw", "image_grid_thw")


def _boxes(sizes: Sizes) -> Tensor:
    corner = torch.randint(0, 20, (BATCH, WORDS, 2))
    return torch.cat([corner, corner + 20], dim=-1)


_GIVEN: Mapping[str, Callable[[Sizes], Any]] = {
    "input_ids": lambda sizes: sizes.words,
    "decoder_input_ids": lambda sizes: sizes.words,
    "qformer_input_ids": lambda sizes: sizes.words,
    "task_inputs": lambda sizes: sizes.words,
    "attention_mask": lambda sizes: torch.ones_like(sizes.words),
    "bbox": _boxes,
    "pixel_values": lambda sizes: sizes.image,
    "pixel_values_videos": lambda sizes: sizes.image.unsqueeze(1).repeat(1, 4, 1, 1, 1),
    "input_features": lambda sizes: sizes.features,
    "input_features_mask": lambda sizes: torch.ones(BATCH, sizes.features.shape[-1], dtype=torch.long),
    "input_values": lambda sizes: sizes.wave,
    "audio_mel": lambda sizes: torch.randn(BATCH, 128, sizes.field("input_feat_size", 80)),
    "audio_mel_mask": lambda sizes: torch.zeros(BATCH, 128, dtype=torch.bool),
    "hidden_states": lambda sizes: sizes.patches,
    "grid_thw": lambda sizes: torch.tensor([[1, 4, 4]]),
    "image_grid_thw": lambda sizes: torch.tensor([[1, 4, 4]]),
    "past_values": lambda sizes: sizes.series,
    "past_observed_mask": lambda sizes: torch.ones_like(sizes.series),
    "past_time_features": lambda sizes: torch.randn(*sizes.series.shape[:2], sizes.field("num_time_features", 1)),
    "inputs": lambda sizes: torch.randn(BATCH, WORDS, sizes.field("d_model", 32)),
    "inputs_embeds": lambda sizes: torch.randn(BATCH, WORDS, sizes.field("hidden_size", 32)),
    "query_embeds": lambda sizes: torch.randn(BATCH, 4, sizes.field("hidden_size", 32)),
    "visual_feats": lambda sizes: torch.randn(BATCH, 4, sizes.field("visual_feat_dim", 8)),
    "visual_pos": lambda sizes: torch.rand(BATCH, 4, sizes.field("visual_pos_dim", 4)),
    "states": lambda sizes: torch.randn(BATCH, 3, sizes.field("state_dim", 4)),
    "actions": lambda sizes: torch.randn(BATCH, 3, sizes.field("act_dim", 4)),
    "rewards": lambda sizes: torch.randn(BATCH, 3, 1),
    "returns_to_go": lambda sizes: torch.randn(BATCH, 3, 1),
    "timesteps": lambda sizes: torch.arange(3).expand(BATCH, 3).contiguous(),
}
_MODALITIES = ("input_ids", "pixel_values", "input_features", "input_values", "bbox")


def _provider(name: str) -> Callable[[Sizes], Any] | None:
    return _GIVEN.get(name)
