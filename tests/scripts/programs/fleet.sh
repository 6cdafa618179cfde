#!/usr/bin/env bash
# Several clusters and jobs at once by their IDs, in functions, pipes and arrays; every output format is read by something.
set -Eeuo pipefail
RG=fleet-$$ LOC=westeurope
on_exit() { az group delete -n "$RG" --yes --no-wait >/dev/null 2>&1 || true; }
trap on_exit EXIT
log() { printf '%s\n' "$*" >&2; }
q() { az "$@" -o tsv --only-show-errors; }

az group create -g "$RG" -l "$LOC" --tags purpose=test team=ml --query 'tags.purpose' -o tsv
[[ $(q group list --tag purpose=test --query '[0].name') == "$RG" ]]
store=fleet$RANDOM$$
q storage account create -g "$RG" -n "$store" -l "$LOC" --sku Standard_LRS --kind StorageV2 --https-only false --query 'sku.name'
key=$(q storage account keys list -g "$RG" --account-name "$store" --query "[?keyName=='key1'] | [0].value")
acc=(--account-name "$store" --account-key "$key")
q storage share create "${acc[@]}" -n data
q storage container create "${acc[@]}" -n out --public-access off
seq 1 100 | tr '\n' ',' | sed 's/,$//' > data.csv
q storage file upload "${acc[@]}" -s data --source data.csv --metadata kind=numbers --content-type text/csv --query 'etag' >/dev/null || true
q storage file show "${acc[@]}" -s data -p data.csv --query '[metadata.kind, properties.contentSettings.contentType]'

q batchai workspace create -g "$RG" -n ws -l "$LOC" --query id
ws=$(q batchai workspace show -g "$RG" -n ws --query id)
[[ $ws == /subscriptions/*/resourceGroups/*/providers/Microsoft.BatchAI/workspaces/ws ]]
for i in 1 2; do
  az batchai cluster create -g "$RG" -w ws -n "c$i" --vm-size standard_d2 --target 1 -u demo --generate-ssh-keys \
    --storage-account-name "$store" --storage-account-key "$key" --afs-name data --afs-mount-path data \
    --container-name out --container-mount-path out -o none &
done
wait
mapfile -t clusters < <(q batchai cluster list -g "$RG" -w ws --query '[].id')
log "${#clusters[@]} clusters"
az batchai cluster show --ids "${clusters[@]}" --query '[].name' -o yaml | sort
az batchai experiment create -g "$RG" -w ws -n exp -o jsonc | grep -c '"name"'
export RG
submit() {
  printf '{"properties": {"nodeCount": 1, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/out", "customToolkitSettings": {"commandLine": "%s"}}}' "$2" |
    az batchai job create -g "$RG" -w ws -e exp -n "$1" -c "$3" -f - -o none
}
# shellcheck disable=SC2016
submit sum 'tr , + < $AZ_BATCHAI_MOUNT_ROOT/data/data.csv | xargs -I{} expr 0 \\\\+ 1; echo done; exit 0' c1
submit bad 'echo oops >&2; exit 7' c2
submit slow 'trap \"exit 0\" TERM; sleep 600 & wait' c2
set +e
az batchai job wait -g "$RG" -w ws -e exp -n bad 2>/dev/null; code=$?
set -e
echo "bad ended with $code"
if az batchai job wait -g "$RG" -w ws -e exp -n sum --interval 1 2>/dev/null; then echo "sum is done"; fi
read -r state start < <(az batchai job show -g "$RG" -w ws -e exp -n bad --query '[executionState, executionInfo.startTime]' -o tsv | xargs)
echo "$state ${start:0:2}"
ids=$(q batchai job list -g "$RG" -w ws -e exp --query "[?executionState!='succeeded'].id")
# shellcheck disable=SC2086
az batchai job show --ids $ids --query '[].{n:name, err:executionInfo.errors[0].code}' -o table | tail -n +3 | sort
until [[ $(q batchai job show -g "$RG" -w ws -e exp -n slow --query executionState) == running ]]; do sleep 0.5; done
az batchai job terminate -g "$RG" -w ws -e exp -n slow --yes
q batchai job show -g "$RG" -w ws -e exp -n slow --query '[executionState, executionInfo.exitCode]'
# shellcheck disable=SC2086
echo $ids | xargs -n1 | xargs -P 2 -I{} az batchai job delete --ids {} --yes
q batchai job list -g "$RG" -w ws -e exp --query 'length(@)'
az batchai cluster resize --ids "${clusters[@]}" --target 0 -o none
q storage blob list "${acc[@]}" -c out --query "[?ends_with(name, 'stdout.txt')] | length(@)"
blob=$(q storage blob list "${acc[@]}" -c out --query "[?contains(name, '/sum/') && ends_with(name, 'stdout.txt')].name | [0]")
az storage blob download "${acc[@]}" -c out -n "$blob" -f sum.txt --no-progress -o none && tail -n1 sum.txt
q resource list -g "$RG" --query 'sort_by([], &type)[].type' | sort | uniq -c
az batchai usage show -l "$LOC" --query "[?name.value=='Clusters' || contains(name.value, 'luster')] | length(@)"
printf '%s\n' "${clusters[@]}" | while read -r id; do az batchai cluster delete --ids "$id" -y; done
q batchai cluster list -g "$RG" -w ws --query 'length(@)'
az group delete -n "$RG" -y
trap - EXIT
echo "gone: $(az group exists -n "$RG")"
