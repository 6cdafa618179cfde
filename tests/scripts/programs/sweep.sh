#!/bin/bash
# A sweep over a parameter on an auto-scale cluster with a file server: one job each, the best is kept.
set -euo pipefail
az configure --defaults group=sweep location=westus2
az group create -n sweep -o tsv --query properties.provisioningState
az storage account create -n sweepstorage -o none
export AZURE_STORAGE_CONNECTION_STRING=$(az storage account show-connection-string -n sweepstorage --query connectionString -o tsv)
az storage share create -n logs --quota 10
mkdir -p code && cp train.py data.csv code
az storage share create -n code
az storage file upload-batch -s code -d code --no-progress -o none
az storage file metadata update -s code -p train.py --metadata version=1
az storage file metadata show -s code -p train.py --query version -o tsv

az batchai workspace create -n w
az batchai file-server create -w w -n nfs -s Standard_D2 --disk-count 1 --disk-size 10 --storage-sku Standard_LRS -u demo -p 'Passw0rd!demo'
az batchai file-server show -w w -n nfs --query provisioningState -o tsv
az batchai cluster create -w w -n auto --min 0 --max 2 -s Standard_D2 --nfs nfs --nfs-mount-path nfs -u demo -p 'Passw0rd!demo' \
  --storage-account-name sweepstorage --afs-name code --afs-mount-path code --setup-task 'echo ready > $AZ_BATCHAI_MOUNT_ROOT/nfs/ready' \
  --setup-task-output '$AZ_BATCHAI_MOUNT_ROOT/nfs'
az batchai experiment create -w w -n e
for factor in 1 2 3; do
  cat > sweep$factor.json <<EOF
{ "nodeCount": 1,
  "customToolkitSettings": { "commandLine":
    "cat \$AZ_BATCHAI_MOUNT_ROOT/nfs/ready; python3 \$AZ_BATCHAI_MOUNT_ROOT/code/train.py \$AZ_BATCHAI_MOUNT_ROOT/code; echo score \$((10 * $factor))" },
  "stdOutErrPathPrefix": "\$AZ_BATCHAI_JOB_MOUNT_ROOT/logs",
  "outputDirectories": [ { "id": "MODEL", "pathPrefix": "\$AZ_BATCHAI_JOB_MOUNT_ROOT/logs" } ] }
EOF
  az batchai job create -w w -e e -n run$factor -c auto -f sweep$factor.json \
    --storage-account-name sweepstorage --afs-name logs --afs-mount-path logs -o none
done
for job in $(az batchai job list -w w -e e --query '[].name' -o tsv); do
  az batchai job wait -w w -e e -n $job
done
az batchai job list -w w -e e -o table
best=0
for job in $(az batchai job list -w w -e e --query "[?executionState=='succeeded'].name" -o tsv); do
  score=$(az batchai job file stream -w w -e e -j $job -f stdout.txt | awk '/^score/ {print $2}')
  if [ "$score" -gt "$best" ]; then best=$score; winner=$job; fi
done
path=$(az batchai job show -w w -e e -n $winner --query jobOutputDirectoryPathSegment -o tsv)
az storage container create -n best
az storage blob upload-batch -d best -s code --pattern '*.py' --no-progress -o none
az storage file copy start-batch --destination-share code --source-share logs --pattern "$path/*" -o none
az storage file exists -s code -p "$path/stdouterr/stdout.txt" --query exists -o tsv
sas=$(az storage blob generate-sas -c best -n train.py --permissions r --expiry 2099-01-01T00:00Z -o tsv)
curl -sf "$(az storage blob url -c best -n train.py -o tsv)?$sas" | cmp - train.py
az storage blob copy start -c best -b copy.py --source-container best --source-blob train.py --query copy_status -o tsv
az storage blob show -c best -n copy.py --query properties.copy.status -o tsv
az storage share stats -n code
az batchai list-usages -l westus2 -o table
az batchai cluster delete -w w -n auto -y
az group delete -n sweep -y
echo "best $winner $best"
