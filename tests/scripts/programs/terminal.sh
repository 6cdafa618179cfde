#!/bin/bash
# The short forms: everything by hand, one command after the other, with what goes wrong in between.
set -uo pipefail
fail() { echo "FAILED: $*"; exit 1; }
az storage account show -g hand -n handstorage 2> said && fail "there is no group yet"
grep -q "ResourceGroupNotFound\|ResourceNotFound" said || fail "$(cat said)"
az group create -n hand -l northeurope -o none || fail group
az storage account create -g hand -n handstorage -l northeurope -o none || fail account
az storage account check-name -n handstorage --query nameAvailable -o tsv
export AZURE_STORAGE_ACCOUNT=handstorage
export AZURE_STORAGE_KEY=$(az storage account keys list -g hand -n handstorage --query '[0].value' -o tsv)
export AZURE_BATCHAI_STORAGE_ACCOUNT=$AZURE_STORAGE_ACCOUNT AZURE_BATCHAI_STORAGE_KEY=$AZURE_STORAGE_KEY
az storage share create -n logs -o tsv
az storage file upload -s missing --source train.py 2> said && fail "there is no such share"
grep -q ShareNotFound said || fail "$(cat said)"
az storage share exists -n logs -o tsv
az batchai workspace create -g hand -n w -o none || fail workspace
az batchai experiment create -g hand -w w -n e -o none
az batchai cluster create -g hand -w w -n c -s Standard_D2 -t 1 --afs-name logs -u me -p 'Passw0rd!demo' -o none || fail cluster
az batchai job create -g hand -w w -e e -n j -c c -f broken.json 2> said && fail "broken JSON"
grep -q broken.json said || fail "$(cat said)"
az batchai job create -g hand -w w -e e -n j -c c -f fails.json -o none || fail job
az batchai job wait -g hand -w w -e e -n j 2> said
echo "job ended with $?"
az batchai job file stream -g hand -w w -e e -j j -f stderr.txt
az batchai job file list -g hand -w w -e e -j j --query "[?contains(name, 'std')].name" -o tsv
az batchai job terminate -g hand -w w -e e -n j -y || fail "it has ended already"
az batchai cluster node exec -g hand -w w -c c -p 'Passw0rd!demo' --exec 'cat $AZ_BATCHAI_MOUNT_ROOT/afs/note' 2> said
az batchai cluster auto-scale -g hand -w w -n c --min 0 --max 0 -o none || fail auto-scale
az batchai cluster list -g hand -w w --query '[0].scaleSettings.autoScale.maximumNodeCount' -o tsv
az storage file download -s logs -p note --dest ./note --no-progress -o none || fail download
cat note
az storage file delete-batch -s logs -o none || fail delete-batch
az group delete -n hand -y
az group show -n hand 2> said && fail "it is still there"
grep -q ResourceGroupNotFound said && echo gone
