#!/usr/bin/env bash
# The main job of Batch AI, start to end: a cluster that grows when a job arrives, a real training job on it, its output
# followed as it is written, its files listed and fetched, and the cluster scaled down to nothing.
#
# Run it with `make demo`, or with your own az and a `python` that has scikit-learn: demo/run.sh
# All state is in a folder of its own, removed at the end: your workspaces and clusters are not touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

results=${DEMO_RESULTS:-../build/demo/results}
AZURE_BATCHAI_HOME=$(mktemp -d)
export AZURE_BATCHAI_HOME

say() { printf '\n# %s\n' "$*"; }
run() { printf '$ '; printf '%q ' "$@"; printf '\n'; "$@"; }

# Whatever happens, nothing is left running and nothing is left behind.
cleanup() {
    code=$?
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    if [ "$code" != 0 ]; then
        printf '\nThe demo ends early, with exit code %s. The end of the log of the service:\n' "$code" >&2
        tail -n 20 "$AZURE_BATCHAI_HOME/service.log" >&2
    fi
    if [ -e "$AZURE_BATCHAI_HOME/service.json" ] || [ "$code" != 0 ]; then
        az batchai local reset --yes
    fi
    rm -rf "$AZURE_BATCHAI_HOME"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "A workspace holds clusters and experiments. The first command starts the local service."
run az batchai workspace create -g demo -n digits -o none

say "A cluster of 0 to 2 nodes, with a file share and a blob container mounted on each node."
run az batchai cluster create -g demo -w digits -n trainers --vm-size Standard_NC6 --min 0 --max 2 --use-auto-storage \
    --user-name demo --password "$(uuidgen 2>/dev/null || echo "$RANDOM$RANDOM-$RANDOM$RANDOM")" -o none
run az batchai cluster show -g demo -w digits -n trainers -o table

say "The file share of the auto storage is a folder on this machine. The training script goes there."
storage=$(az batchai local status --query storage -o tsv)
account=$(az batchai cluster show -g demo -w digits -n trainers \
    --query "nodeSetup.mountVolumes.azureFileShares[0].accountName" -o tsv)
share=$storage/$account/files/batchaishare
run mkdir "$share/digits"
run cp train_digits.py "$share/digits/"

say "An experiment groups jobs. The cluster has no node yet: the job makes it grow."
run az batchai experiment create -g demo -w digits -n tuning -o none
run az batchai job create -g demo -w digits -e tuning -n mlp -c trainers -f job.json -o none

say "Follow its output while it runs."
run az batchai job file stream -g demo -w digits -e tuning -j mlp -f stdout.txt
run az batchai job wait -g demo -w digits -e tuning -n mlp
run az batchai job show -g demo -w digits -e tuning -n mlp -o table

say "What it left behind: its streams and log, and its own output directory MODEL."
run az batchai job file list -g demo -w digits -e tuning -j mlp -o table
run az batchai job file list -g demo -w digits -e tuning -j mlp -d MODEL -o table

say "Each file has a signed address that works for an hour."
mkdir -p "$results"
for file in metrics.json model.pkl; do
    url=$(az batchai job file list -g demo -w digits -e tuning -j mlp -d MODEL --query "[?name=='$file'].downloadUrl" -o tsv)
    python -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' "$url" "$results/$file"
done
results=$(cd "$results" && pwd)
python -c 'import json, sys; m = json.load(open(sys.argv[1])); print("accuracy", m["accuracy"], "on", sum(map(sum, m["confusion"])), "images that the training never saw")' \
    "$results/metrics.json"
echo "The metrics and the model are in $results"

say "The node that the job brought up is idle now. Scale down to nothing; the configuration of the cluster stays."
run az batchai cluster show -g demo -w digits -n trainers -o table
run az batchai cluster resize -g demo -w digits -n trainers --target 0 -o none
until [ "$(az batchai cluster show -g demo -w digits -n trainers --query currentNodeCount -o tsv)" = 0 ]; do sleep 0.5; done
run az batchai cluster show -g demo -w digits -n trainers -o table

say "Delete everything and stop the service."
run az batchai workspace delete -g demo -n digits --yes
run az batchai local down
