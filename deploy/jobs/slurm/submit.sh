#!/usr/bin/env bash
# INPUT=/shared/particles.parquet OUTPUT=/shared/responses.h5 SEED=7 SLICES=32 ./submit.sh [options of zdc simulate]
set -euo pipefail
cd "$(dirname "$0")"
export INPUT OUTPUT SEED SLICES
: "${INPUT:?a file of particles on a shared file system}" "${OUTPUT:?a file of responses on a shared file system}"
: "${SEED:?the random seed of the job}"
SLICES=${SLICES:-8}
array=$(sbatch --parsable --export=ALL --array="0-$((SLICES - 1))" simulate.sbatch "$@")
# If a slice fails, the merge is cancelled. Submit again: only missing parts are simulated.
sbatch --export=ALL --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes merge.sbatch
