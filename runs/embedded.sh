#!/usr/bin/env bash
# Blank machine → the embedded checkpoint and its figures. Every stage can be stopped (Ctrl-C, --slice) and goes on
# when this is run again; a stage that is done is passed over quickly.
#
#   runs/embedded.sh                         the budget of two CPU cores: about ten hours
#   SCALE=0.1 runs/embedded.sh               a tenth of every budget
#   RUN=runs/out/gpu MINUTES_TRANSFORMER=27 BATCH=512 COMPILED=true runs/embedded.sh
#   FROM=src/khayal/embedded DIALS=12 runs/embedded.sh     trains a model on, with its tokenizer
#   FROM=src/khayal/embedded MINUTES_AUTOENCODER=0 …       … and with its autoencoder as it is
#
# The result is $RUN/transformer/model, a checkpoint folder: khayal "a red ball" --model $RUN/transformer/model
# How good it is stands in $RUN/report. The probe that reads it is in the package; MINUTES_PROBE=15 trains another,
# to be put into src/khayal/evaluate/probe/ before the report.
set -euo pipefail
cd "$(dirname "$0")/.."

RUN=${RUN:-runs/out/embedded}
DIALS=${DIALS:-12}           # clips of these dials of the world in turn
SCALE=${SCALE:-1}           # of all budgets below
WORKERS=${WORKERS:-$(nproc)}
CLIPS_FRAMES=${CLIPS_FRAMES:-480}      # kept as frames, for the autoencoder; 2.4 MB each
CLIPS_LATENTS=${CLIPS_LATENTS:-6000}
MINUTES_AUTOENCODER=${MINUTES_AUTOENCODER:-90}
MINUTES_ENCODE=${MINUTES_ENCODE:-60}
MINUTES_COMPREHENSION=${MINUTES_COMPREHENSION:-6}
MINUTES_TRANSFORMER=${MINUTES_TRANSFORMER:-360}
MINUTES_DECODER=${MINUTES_DECODER:-0}   # the decoder alone learns on; the transformer's export takes it
BATCH=${BATCH:-32}
MATRICES=${MATRICES:-muon}
COMPILED=${COMPILED:-false}
FOCUS=${FOCUS:-4}           # how much more actors weigh in the loss at first
SHORT=${SHORT:-0.25}        # share of the run that learns from pieces of clips
MINUTES_PROBE=${MINUTES_PROBE:-0}
CLIPS_PROBE=${CLIPS_PROBE:-3000}
PROMPTS=${PROMPTS:-512}     # of a table of the report; 0 writes none
FROM=${FROM:-}              # a checkpoint to begin with
SLICE=${SLICE:-}            # minutes after which a training stage stops, to be run again

scaled() { python3 -c "print(max(1e-3, $1 * $SCALE))"; }
clips() { python3 -c "print(max(16, round($1 * min(1, $SCALE))))"; }
stage() { echo "— $1" >&2; khayal train "recipes.embedded:$1" --out "$RUN" "${@:2}"; }
finished() { [ -f "$RUN/$1.done" ]; }
train_stage() {
    finished "$1" && return
    local told
    told=$(stage "$1" --resume --json ${SLICE:+--slice "$SLICE"} "${@:2}")
    echo "$told" >&2
    if [[ $told != *'"is_finished": true'* ]]; then
        echo "$1 stopped for now; run this again to go on." >&2
        exit 0
    fi
    touch "$RUN/$1.done"
}

# A step frees hundreds of megabytes and takes them again. glibc gives them back to the system in between, jemalloc
# keeps most of them: the autoencoder trained 1.4 times as fast on two CPU cores.
for allocator in /usr/lib/*/libjemalloc.so.2; do
    [ -f "$allocator" ] || continue
    export LD_PRELOAD=$allocator MALLOC_CONF=dirty_decay_ms:3000,muzzy_decay_ms:3000,narenas:2
done

command -v khayal > /dev/null || pip install -e '.[train,evaluate]'
mkdir -p "$RUN"
if [ -n "$FROM" ] && [ ! -d "$RUN/tokenizer" ]; then
    cp -r "$FROM/tokenizer" "$RUN/tokenizer"
    touch "$RUN/tokenizer.done"
    if [ "$MINUTES_AUTOENCODER" = 0 ]; then
        mkdir -p "$RUN/autoencoder"
        cp -r "$FROM/vae" "$RUN/autoencoder/model"
        touch "$RUN/frames.done" "$RUN/autoencoder.done"
    fi
fi
train_stage frames --set dials="$DIALS" --set workers="$WORKERS" --set clips="$(clips "$CLIPS_FRAMES")"
train_stage tokenizer
train_stage autoencoder --minutes "$(scaled "$MINUTES_AUTOENCODER")" ${FROM:+--start "$FROM/vae"}
train_stage encode --minutes "$(scaled "$MINUTES_ENCODE")" --set dials="$DIALS" --set workers="$WORKERS" \
    --set clips="$(clips "$CLIPS_LATENTS")"
train_stage comprehension --minutes "$(scaled "$MINUTES_COMPREHENSION")" ${FROM:+--start "$FROM"}
[ "$MINUTES_DECODER" = 0 ] || train_stage decoder --minutes "$(scaled "$MINUTES_DECODER")"
train_stage transformer --minutes "$(scaled "$MINUTES_TRANSFORMER")" --set batch="$BATCH" \
    --set matrices="$MATRICES" --set dials="$DIALS" --set compiled="$COMPILED" --set focus="$FOCUS" \
    --set short="$SHORT" ${FROM:+--start "$FROM"}
if [ "$MINUTES_PROBE" != 0 ]; then
    train_stage probe_clips --set dials="$DIALS" --set workers="$WORKERS" --set clips="$(clips "$CLIPS_PROBE")"
    train_stage probe --minutes "$(scaled "$MINUTES_PROBE")"
fi
[ "$PROMPTS" = 0 ] || khayal evaluate --model "$RUN/transformer/model" --prompts "$PROMPTS" --report "$RUN/report"
echo "khayal \"a red ball bounces\" --model $RUN/transformer/model"
