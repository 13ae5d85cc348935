#!/usr/bin/env bash
# INPUT=/shared/particles.parquet OUTPUT=/shared/responses.h5 SEED=7 SLICES=32 ./submit.sh [options of zdc simulate]
set -euo pipefail
cd "$(dirname "$0")"
export INPUT OUTPUT SEED SLICES
: "${INPUT:?a file of particles that all nodes see}" "${OUTPUT:?a file of responses that all nodes see}" "${SEED:?}"
SLICES=${SLICES:-8}
array=$(sbatch --parsable --export=ALL --array="0-$((SLICES - 1))" simulate.sbatch "$@")
# Where a slice failed, the merge is cancelled: submit again, and only what is missing is made.
sbatch --export=ALL --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes merge.sbatch
