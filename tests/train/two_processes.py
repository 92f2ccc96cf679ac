"""Started twice by a test: each trains its share of tiny runs, over gloo."""

import json
import sys
from pathlib import Path

import torch.distributed as dist

from khayal.train.loop import Sitting, Trainer
from khayal.train.recipe import call_recipe, find_recipe

if __name__ == "__main__":
    recipe = find_recipe(f"{Path(__file__).parent / 'tiny.py'}:transformer")
    for folder, given, minutes in json.loads(sys.argv[1]):
        config = call_recipe(recipe, Path(folder), given)
        sitting = Sitting(resume=True, minutes=minutes, is_shown=False)
        Trainer(config, Path(folder, "transformer"), sitting).run()
    dist.destroy_process_group()
