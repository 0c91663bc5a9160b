#!/bin/bash
# Runs one tlkit command on all nodes of a Slurm job: sbatch --nodes=4 deploy/slurm.sh finetune /shared/photos
#SBATCH --job-name=tlkit
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
set -euo pipefail

# Storage that every node can read and write: features are exchanged through it.
export TLKIT_CACHE="${TLKIT_CACHE:?set TLKIT_CACHE to a folder that all nodes have in common, or to s3://bucket/cache}"
export RAY_USAGE_STATS_ENABLED=0

head="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
# Nodes and command show each other a token of this user, in ~/.ray/auth_token, which is made once.
export RAY_AUTH_MODE=token
ray get-auth-token --generate > /dev/null
# One Ray process on every node; the command itself runs once, on the first one, and Ray ends with it.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" -- \
    env RAY_ADDRESS="$head:6379" tlkit "$@" --on ray
