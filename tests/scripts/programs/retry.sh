#!/bin/bash
# Runs again after it was broken off: whatever is there already is taken, whatever failed is made again, `|| true` all over.
RG=retry; export AZURE_DEFAULTS_GROUP=$RG AZURE_CORE_OUTPUT=none AZURE_CORE_ONLY_SHOW_ERRORS=yes
set -u
have() { "$@" >/dev/null 2>&1; }
attempt() {
  az group create -n $RG -l eastus
  have az storage account show -n retrystore || az storage account create -n retrystore -l eastus
  AZURE_STORAGE_CONNECTION_STRING=`az storage account show-connection-string -n retrystore -o tsv`
  export AZURE_STORAGE_CONNECTION_STRING
  az storage share create -n work || true
  az storage share create -n work || true
  have az batchai workspace show -n w || az batchai workspace create -n w -l eastus || return 1
  have az batchai file-server show -w w -n nfs || az batchai file-server create -w w -n nfs -s Standard_D2 \
    --disk-count 1 --disk-size 10 --storage-sku Standard_LRS -u demo -p 'Passw0rd!demo' || return 1
  have az batchai cluster show -w w -n c || az batchai cluster create -w w -n c -s Standard_D2 --min 0 --max 1 -i UbuntuLTS \
    --nfs-name nfs --nfs-mount-path shared --afs-name work --afs-mount-path work --storage-account-name retrystore \
    --admin-user-name demo -p 'Passw0rd!demo' || return 1
  az batchai experiment create -w w -n e || true
  [ "$(az batchai job show -w w -e e -n train --query executionState -o tsv 2>/dev/null)" = failed ] &&
    az batchai job delete -w w -e e -n train -y
  # It fails once: what it needs is not there yet.
  az batchai job create -w w -e e -n train --cluster-name c -f /dev/stdin <<-'JOB' || return 1
	{ "nodeCount": 1, "jobPreparation": { "commandLine": "mkdir -p $AZ_BATCHAI_MOUNT_ROOT/shared/cache" },
	  "customToolkitSettings": { "commandLine": "cat $AZ_BATCHAI_MOUNT_ROOT/work/ready && date > $AZ_BATCHAI_MOUNT_ROOT/shared/cache/stamp" },
	  "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/work" }
	JOB
  az batchai job wait -w w -e e -n train
}
if attempt; then echo "it cannot have worked"; exit 1; fi
az batchai job file stream -w w -e e -j train -f stderr.txt | grep -o "No such file or directory"
az batchai job show -w w -e e -n train --query '[executionState, to_string(executionInfo.exitCode)] | join(`:`, @)' -o tsv
date > ready
az storage file upload -s work --source ready --no-progress
attempt || exit 1
az batchai job show -w w -e e -n train -o table | awk 'NR > 2 { print $1, $NF }'
az batchai job create -w w -e e -n train -c c -f job.json; echo "once more: $?"
az batchai cluster create -w w -n c -s Standard_NC6 --min 0 --max 1 -u demo -p 'Passw0rd!demo'; echo "another size: $?"
az batchai file-server list -w w --query "[?mountSettings.fileServerPublicIp].name" -o tsv
az batchai cluster auto-scale -w w -n c --min 0 --max 0
for id in $(az batchai cluster list -w w --query [].id -o tsv) $(az batchai file-server list -w w --query [].id -o tsv); do
  case $id in
    */clusters/*) az batchai cluster delete --ids $id -y ;;
    */fileservers/* | */fileServers/*) az batchai file-server delete --ids $id -y ;;
  esac
done
az batchai workspace delete -n w -y || true
az storage account delete -n retrystore -y
az group delete -n $RG -y; az group exists -n $RG -o tsv
