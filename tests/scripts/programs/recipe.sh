#!/bin/bash
# A recipe of 2018 from its first line to its last.
set -euo pipefail

GROUP=batchai.recipes
ACCOUNT=recipesstorage

az account show --query name -o tsv
az provider register -n Microsoft.BatchAI
az provider register -n Microsoft.Batch
az group create -n $GROUP -l eastus -o table
az configure --defaults group=$GROUP location=eastus

az storage account create -n $ACCOUNT --sku Standard_LRS
export AZURE_BATCHAI_STORAGE_ACCOUNT=$ACCOUNT
export AZURE_BATCHAI_STORAGE_KEY=$(az storage account keys list -n $ACCOUNT -o tsv --query '[0].value')

az storage share create -n logs --account-name $ACCOUNT
az storage share create -n scripts --account-name $ACCOUNT --account-key $AZURE_BATCHAI_STORAGE_KEY
az storage directory create -n demo --share-name scripts --account-name $ACCOUNT
az storage file upload -s scripts --source train.py --path demo --account-name $ACCOUNT
az storage file upload --share-name scripts --source data.csv --path demo/data.csv --account-name $ACCOUNT
az storage container create -n images --account-name $ACCOUNT --account-key $AZURE_BATCHAI_STORAGE_KEY
az storage blob upload-batch -d images --destination-path in --pattern '*.csv' -s . --account-name $ACCOUNT
test "$(az storage blob exists -c images -n in/data.csv --account-name $ACCOUNT --query exists -o tsv)" = true

az batchai workspace create -n recipes -l eastus
az batchai cluster create -w recipes -n nc6 -s Standard_NC6 -t 1 -i UbuntuLTS -u demo -p 'Passw0rd!demo'
az batchai cluster list -w recipes -o table
az batchai experiment create -w recipes -n first
az batchai job create -w recipes -e first -n job1 -c nc6 -f job.json
az batchai job wait -w recipes -e first -n job1
az batchai job file list -w recipes -e first -j job1 -o table
az batchai job file list -w recipes -e first -j job1 -d MODEL -o table
az batchai job file stream -w recipes -e first -j job1 -f stdout.txt
SEGMENT=$(az batchai job show -w recipes -e first -n job1 --query jobOutputDirectoryPathSegment -o tsv)
az storage file list -s logs -p "$SEGMENT/stdouterr" --account-name $ACCOUNT -o table
az storage file download -s logs -p "$SEGMENT/outputs/Models/model.txt" --dest ./model.txt --account-name $ACCOUNT
mkdir results
az storage file download-batch -s logs -d results --pattern '*/stdout.txt' --account-name $ACCOUNT
URL=$(az batchai job file list -w recipes -e first -j job1 --query "[?name=='stdout.txt'].downloadUrl" -o tsv)
python3 -c 'import sys, requests; print("downloaded:", requests.get(sys.argv[1]).text)' "$URL"

az batchai job delete -w recipes -e first -n job1 -y
az batchai cluster delete -w recipes -n nc6 -y
az batchai workspace delete -n recipes -y
az group delete -n $GROUP -y
echo "left: $(az group exists -n $GROUP) $(cat model.txt)"
