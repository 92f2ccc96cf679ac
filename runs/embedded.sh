#!/usr/bin/env bash
# Blank machine → the embedded checkpoint and its figures. Every stage can be stopped (Ctrl-C, --slice) and goes on
# when this is run again; a stage that is done is passed over quickly.
#
#   runs/embedded.sh                         the budget of two CPU cores: about ten hours
#   SCALE=0.1 runs/embedded.sh               a tenth of every budget
#   GPU=1 RUN=/dev/shm/khayal runs/embedded.sh             half an hour of one H100, 50 GB of memory for clips
#   FROM=src/khayal/embedded DIALS=12 runs/embedded.sh     trains a model on, with its tokenizer
#   FROM=src/khayal/embedded MINUTES_AUTOENCODER=0 MINUTES_COMPREHENSION=0 …    … the transformer alone
#   FROM=src/khayal/embedded MINUTES_AUTOENCODER=0 MINUTES_BINDING=8 MINUTES_TRANSFORMER=0 MINUTES_BOUND=70 …
#                                            … its words say which is what, and its pictures show it
#
# The result is $RUN/rewording/model, a checkpoint folder: khayal "a red ball" --model $RUN/rewording/model
# How good it is stands in $RUN/report. The probe that reads it is in the package; MINUTES_PROBE=15 trains another,
# each of its two parts so long, to be put into src/khayal/evaluate/probe/ from $RUN/look/model before the report.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${GPU:-0}" = 1 ]; then
    # Clips are rendered on all cores (16 of them: 39 a second) while the models train on the first of them.
    AHEAD=${AHEAD:-2400} CLIPS_FRAMES=${CLIPS_FRAMES:-20000}
    MINUTES_AUTOENCODER=${MINUTES_AUTOENCODER:-4.5} MINUTES_COMPREHENSION=${MINUTES_COMPREHENSION:-2.5}
    MINUTES_TRANSFORMER=${MINUTES_TRANSFORMER:-14} MINUTES_REWORDING=${MINUTES_REWORDING:-2} WORDED=${WORDED:-256}
    BATCH=${BATCH:-256} RATE=${RATE:-5e-3} COMPILED=${COMPILED:-true} MICRO=${MICRO:-0} SHORT=${SHORT:-0} ENCODERS=${ENCODERS:-4}
    CROPS=${CROPS:---set batch=32 --set side=128} PROBED=${PROBED:-64} BESIDE=${BESIDE:---set batch=32 --set micro=8}
fi
RUN=${RUN:-runs/out/embedded}
DIALS=${DIALS:-1233}         # clips of these dials of the world in turn
AHEAD=${AHEAD:-0}            # training begins when there are so many; the rest is rendered beside it, 0: before it
SCALE=${SCALE:-1}           # of all budgets below
WORKERS=${WORKERS:-$(nproc)}
CLIPS_FRAMES=${CLIPS_FRAMES:-480}      # kept as frames, for the autoencoder; 2.4 MB each
CLIPS_LATENTS=${CLIPS_LATENTS:-6000}    # with AHEAD: all that are kept as frames
MINUTES_AUTOENCODER=${MINUTES_AUTOENCODER:-90}
MINUTES_ENCODE=${MINUTES_ENCODE:-60}
MINUTES_COMPREHENSION=${MINUTES_COMPREHENSION:-12}
MINUTES_BINDING=${MINUTES_BINDING:-0}        # in its place: the text encoder of FROM learns on
MINUTES_TRANSFORMER=${MINUTES_TRANSFORMER:-360}
MINUTES_BOUND=${MINUTES_BOUND:-0}            # the transformer learns on from moments which of two is what
TAKES=${TAKES:-1500}                         # scenes of which there are eight moments each
MINUTES_ANNEALED=${MINUTES_ANNEALED:-0}      # the transformer goes on at a falling rate, on longer scenes too
CLIPS_SCENES=${CLIPS_SCENES:-384}            # of which there are so many
MINUTES_REWORDING=${MINUTES_REWORDING:-20}   # the text encoder learns on for the transformer as it is then
MINUTES_DECODER=${MINUTES_DECODER:-0}   # the decoder alone learns on; the transformer's export takes it
BATCH=${BATCH:-32}
MATRICES=${MATRICES:-muon}
RATE=${RATE:-8e-3}          # of the matrices
CROPS=${CROPS:-}            # other crops for the autoencoder
BESIDE=${BESIDE:-}          # other steps of moments beside clips
CAPTIONS=${CAPTIONS:-128}   # in a step of comprehension
WORDED=${WORDED:-64}        # captions in a step of rewording
PROBED=${PROBED:-10}        # clips in a step of the probe
ENCODERS=${ENCODERS:-1}     # processes that encode
COMPILED=${COMPILED:-false}
MICRO=${MICRO:-2}           # canvases that are computed at once; 0: all of a step
FOCUS=${FOCUS:-4}           # how much more actors weigh in the loss at first
SHORT=${SHORT:-0.25}        # share of the run that learns from pieces of clips
MINUTES_PROBE=${MINUTES_PROBE:-0}
CLIPS_PROBE=${CLIPS_PROBE:-3000}
PROMPTS=${PROMPTS:-512}     # of a table of the report; 0 writes none
FROM=${FROM:-}              # a checkpoint to begin with
[ "$MINUTES_BINDING" = 0 ] || : "${FROM:?MINUTES_BINDING needs the checkpoint whose text encoder learns: FROM=DIR}"
if [ "$MINUTES_TRANSFORMER" = 0 ]; then # it knows the latents and the words that it was trained on
    : "${FROM:?MINUTES_TRANSFORMER=0 needs a checkpoint that has one: FROM=DIR}"
    if [ "$MINUTES_AUTOENCODER" != 0 ] || { [ "$MINUTES_BINDING" = 0 ] && [ "$MINUTES_COMPREHENSION" != 0 ]; }; then
        echo "MINUTES_TRANSFORMER=0 needs MINUTES_AUTOENCODER=0, and MINUTES_BINDING or MINUTES_COMPREHENSION=0" >&2
        exit 2
    fi
fi
SLICE=${SLICE:-}            # minutes after which this call stops, to be run again

scaled() { python3 -c "print(max(1e-3, $1 * $SCALE))"; }
clips() { python3 -c "print(max(16, round($1 * min(1, $SCALE))))"; }
left() { python3 -c "print(max(0.05, $SLICE - $SECONDS / 60))"; }
stage() {
    echo "— $1, after $SECONDS s" >&2
    local recipe=embedded
    [[ $1 == probe* || $1 == look ]] && recipe=probe
    khayal train "recipes.$recipe:$1" --out "$RUN" "${@:2}"
}
finished() { [ -f "$RUN/$1.done" ]; }
train_stage() {
    finished "$1" && return
    local told
    told=$(stage "$1" --resume --json ${SLICE:+--slice "$(left)"} "${@:2}")
    echo "$told" >&2
    if [[ $told != *'"is_finished": true'* ]]; then
        echo "$1 stopped for now; run this again to go on." >&2
        exit 0
    fi
    touch "$RUN/$1.done"
}

# A step frees hundreds of megabytes and takes them again. glibc gives them back to the system in between unless it is
# told not to, which on CPU costs a sixth of the autoencoder's time (jemalloc that gives back after seconds: as much).
export MALLOC_MMAP_THRESHOLD_=$((1 << 30)) MALLOC_TRIM_THRESHOLD_=$((1 << 33))

command -v khayal > /dev/null || pip install -e '.[train,evaluate]'
mkdir -p "$RUN"
if [ -n "$FROM" ] && [ ! -d "$RUN/tokenizer" ]; then
    train_stage tokenizer --set extends="$FROM/tokenizer" # its own tokens keep their numbers
    if [ "$MINUTES_AUTOENCODER" = 0 ]; then
        mkdir -p "$RUN/autoencoder"
        cp -r "$FROM/vae" "$RUN/autoencoder/model"
        touch "$RUN/autoencoder.done"
    fi
    if [ "$MINUTES_COMPREHENSION" = 0 ]; then
        mkdir -p "$RUN/comprehension"
        cp -r "$FROM/text_encoder" "$RUN/comprehension/model"
        touch "$RUN/comprehension.done"
    fi
fi
render() {
    local -x OMP_NUM_THREADS=1
    train_stage frames --set dials="$DIALS" --set workers="$WORKERS" --set clips="$(clips "$CLIPS_FRAMES")"
    [ "$MINUTES_PROBE" = 0 ] || train_stage probe_clips --set dials="$DIALS" --set workers="$WORKERS" \
        --set clips="$(clips "$CLIPS_PROBE")"
}
comprehend() {
    if [ "$MINUTES_BINDING" != 0 ]; then
        train_stage binding --minutes "$(scaled "$MINUTES_BINDING")" --set model="$FROM"
        rm -rf "$RUN/comprehension"
        mkdir -p "$RUN/comprehension"
        cp -r "$RUN/binding/model/text_encoder" "$RUN/comprehension/model"
        touch "$RUN/comprehension.done"
        return
    fi
    # Always anew: it takes minutes, and an encoder that has learned too fast hardly learns anything more.
    train_stage comprehension --minutes "$(scaled "$MINUTES_COMPREHENSION")" --set batch="$CAPTIONS"
}
compress() {
    # shellcheck disable=SC2086 # CROPS are several words
    train_stage autoencoder --minutes "$(scaled "$MINUTES_AUTOENCODER")" $CROPS ${FROM:+--start "$FROM/vae"}
}
encode() { # so many clips, in whole shards
    local jobs=() k
    for k in $(seq "$ENCODERS"); do
        stage encode --resume --json --minutes "$(scaled "$MINUTES_ENCODE")" --set dials="$DIALS" \
            --set workers="$WORKERS" --set clips="$1" --set part="$k/$ENCODERS" >&2 &
        jobs+=($!)
    done
    for k in "${jobs[@]}"; do wait "$k"; done
}
kept() { find "$RUN/frames" -name 'shard-*.safetensors' 2> /dev/null | wc -l | awk '{print 8 * $1}'; }

if [ "$AHEAD" = 0 ]; then
    render
    train_stage tokenizer
    compress
    finished encode || { encode "$(clips "$CLIPS_LATENTS")" && touch "$RUN/encode.done"; }
    comprehend
else
    set -m # a process group of its own, to be ended with this call; a shard is there whole or not at all
    render &
    rendering=$!
    set +m
    trap 'kill -- -"$rendering" 2> /dev/null || true; wait' EXIT
    while [ "$(kept)" -lt "$(clips "$AHEAD")" ] && kill -0 "$rendering" 2> /dev/null; do sleep 1; done
    finished frames || [ "$(kept)" -ge "$(clips "$AHEAD")" ] || exit 0 # this call's time is up
    train_stage tokenizer
    comprehend &
    compress
    wait $!
    finished comprehension || exit 0
    many=$(kept) # those that came since the last call too; a file of latents holds 64 clips
    finished frames || many=$((many / 64 * 64))
    encode "$many"
fi
[ "$MINUTES_DECODER" = 0 ] || train_stage decoder --minutes "$(scaled "$MINUTES_DECODER")"
if [ "$MINUTES_TRANSFORMER" = 0 ]; then # the one of FROM
    MODEL=$FROM
    [ "$MINUTES_BINDING" = 0 ] || MODEL=$RUN/binding/model
else
    train_stage transformer --minutes "$(scaled "$MINUTES_TRANSFORMER")" --set batch="$BATCH" --set rate="$RATE" \
        --set matrices="$MATRICES" --set dials="$DIALS" --set compiled="$COMPILED" --set focus="$FOCUS" \
        --set short="$SHORT" --set micro="$MICRO" ${FROM:+--start "$FROM"}
    MODEL=$RUN/transformer/model
fi
if [ "$MINUTES_BOUND" != 0 ]; then
    finished columns || { OMP_NUM_THREADS=1 train_stage columns --set workers="$WORKERS" \
        --set takes="$(clips "$TAKES")"; }
    # shellcheck disable=SC2086 # BESIDE are several words
    train_stage bound --minutes "$(scaled "$MINUTES_BOUND")" --set dials="$DIALS" --set compiled="$COMPILED" \
        $BESIDE --start "$MODEL"
    MODEL=$RUN/bound/model
fi
if [ "$MINUTES_ANNEALED" != 0 ]; then
    finished scenes || { OMP_NUM_THREADS=1 train_stage scenes --set workers="$WORKERS" \
        --set clips="$(clips "$CLIPS_SCENES")"; }
    train_stage annealed --minutes "$(scaled "$MINUTES_ANNEALED")" --set batch="$BATCH" --set dials="$DIALS" \
        --set compiled="$COMPILED" --set micro="$MICRO" --start "$MODEL"
    MODEL=$RUN/annealed/model
fi
if [ "$MINUTES_REWORDING" != 0 ]; then
    train_stage rewording --minutes "$(scaled "$MINUTES_REWORDING")" --set batch="$WORDED" --set model="$MODEL" \
        --set dials="$DIALS"
    MODEL=$RUN/rewording/model
fi
if [ "$MINUTES_PROBE" != 0 ]; then
    wait
    train_stage probe --minutes "$(scaled "$MINUTES_PROBE")" --set batch="$PROBED"
    train_stage look --minutes "$(scaled "$MINUTES_PROBE")" --set batch="$((4 * PROBED))"
fi
[ "$PROMPTS" = 0 ] || khayal evaluate --model "$MODEL" --prompts "$PROMPTS" --report "$RUN/report"
echo "khayal \"a red ball bounces\" --model $MODEL"
