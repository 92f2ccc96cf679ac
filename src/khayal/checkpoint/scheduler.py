"""scheduler_config.json: how a checkpoint wants to be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from khayal.checkpoint.configs import parse_config
from khayal.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """The sampling that a checkpoint asks for.

    Attributes:
        solver: steps of UniPC, second order, or of Euler.
        flow_shift: above 1, more of the steps are spent at high noise.
        num_levels: noise levels that the model was trained on.
    """

    solver: Literal["unipc", "euler"] = "unipc"
    flow_shift: float = 1.0
    num_levels: int = 1000

    def to_json(self) -> dict[str, Any]:
        """The keys of the file that diffusers reads."""
        if self.solver == "euler":
            return {
                "_class_name": "FlowMatchEulerDiscreteScheduler",
                "num_train_timesteps": self.num_levels,
                "shift": self.flow_shift,
            }
        return {
            "_class_name": "UniPCMultistepScheduler",
            "num_train_timesteps": self.num_levels,
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "flow_shift": self.flow_shift,
        }


@dataclass(frozen=True, kw_only=True)
class _UniPC:
    """The keys of diffusers' UniPCMultistepScheduler that matter."""

    flow_shift: float = 1.0
    num_train_timesteps: int = 1000


@dataclass(frozen=True, kw_only=True)
class _Euler:
    """The keys of diffusers' FlowMatchEulerDiscreteScheduler that matter."""

    shift: float = 1.0
    num_train_timesteps: int = 1000


_POSITIVE = frozenset({"flow_shift", "shift", "num_train_timesteps"})
# What concerns other noise paths, or options that are switched off below.
_UNIPC_KEYS = """
beta_start beta_end beta_schedule trained_betas rescale_betas_zero_snr timestep_spacing steps_offset
dynamic_thresholding_ratio sample_max_value time_shift_type sigma_min sigma_max
"""
_UNIPC_WITHOUT_EFFECT = frozenset(_UNIPC_KEYS.split())
_UNIPC_REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "prediction_type": ("flow_prediction",),
    "use_flow_sigmas": (True,),
    "solver_order": (2,),
    "solver_type": ("bh2",),
    "solver_p": (None,),
    "predict_x0": (True,),
    "lower_order_final": (True,),
    "disable_corrector": ((),),
    "thresholding": (False,),
    "final_sigmas_type": ("zero",),
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "use_dynamic_shifting": (False,),
    "shift_terminal": (None,),
}
_EULER_KEYS = "base_shift max_shift base_image_seq_len max_image_seq_len time_shift_type"
_EULER_WITHOUT_EFFECT = frozenset(_EULER_KEYS.split())
_EULER_REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "use_dynamic_shifting": (False,),
    "invert_sigmas": (False,),
    "shift_terminal": (None,),
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "stochastic_sampling": (False,),
}


def parse_scheduler(data: Mapping[str, Any], *, where: Path) -> SchedulerConfig:
    """The sampling that a `scheduler_config.json` asks for.

    Raises:
        CheckpointError: for a scheduler, a key or a value that khayal cannot do.
    """
    name = data.get("_class_name")
    if name == "UniPCMultistepScheduler":
        for key in ("prediction_type", "use_flow_sigmas"):  # diffusers' defaults are another noise path
            if key not in data:
                raise CheckpointError(f"{where} is not for a flow model", why=f"“{key}” is not set")
        unipc = parse_config(
            _UniPC,
            data,
            where=where,
            without_effect=_UNIPC_WITHOUT_EFFECT,
            required=_UNIPC_REQUIRED,
            positive=_POSITIVE,
        )
        return SchedulerConfig(
            solver="unipc", flow_shift=unipc.flow_shift, num_levels=unipc.num_train_timesteps
        )
    if name == "FlowMatchEulerDiscreteScheduler":
        euler = parse_config(
            _Euler,
            data,
            where=where,
            without_effect=_EULER_WITHOUT_EFFECT,
            required=_EULER_REQUIRED,
            positive=_POSITIVE,
        )
        return SchedulerConfig(solver="euler", flow_shift=euler.shift, num_levels=euler.num_train_timesteps)
    raise CheckpointError(
        f"{where} asks for the scheduler “{name}”",
        why="khayal has UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler",
        fix="use a checkpoint with one of them: flow models can be sampled by either",
    )
