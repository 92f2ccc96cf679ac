# One word for each thing that is done often. `make check` is what CI runs.
.PHONY: demo check format lint types contracts test bench system docs

demo:  ## the first video
	khayal "a red ball bounces on the grass" --seed 0 --out ball.mp4

check: lint types contracts test  ## everything that has to hold

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .

types:
	mypy

contracts:  ## who may import whom
	lint-imports

test:
	pytest -n auto

bench:
	python benchmarks/against_diffusers.py

docs:  ## the command-line reference, from the commands' own help
	python -m khayal.cli.reference > docs/reference/cli.md

system:  ## Debian packages that some tests need: a software OpenGL driver, a database, a browser
	@command -v apt-get >/dev/null || { echo "make system is for Debian and its kin: install EGL, a Mesa driver, PostgreSQL and Chromium"; exit 1; }
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get update -qq
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get install -qq -y --no-install-recommends libegl1 libgl1-mesa-dri postgresql chromium fonts-dejavu-core
