#!/bin/bash
# Two nodes, data in a container, an own user with an SSH key, MPI: as the recipes for distributed training had it.
set -euo pipefail
GROUP=distributed
ACCOUNT=distributedstorage

az group create --name $GROUP --location eastus --output none
az storage account create --name $ACCOUNT --sku Standard_LRS --resource-group $GROUP --location eastus --output none
KEY=$(az storage account keys list --account-name $ACCOUNT --resource-group $GROUP --output tsv --query '[?keyName==`key1`].value')

az storage share create --account-name $ACCOUNT --account-key $KEY --name external
az storage container create --account-name $ACCOUNT --account-key $KEY --name dataset
az storage directory create --share-name external --name scripts --account-name $ACCOUNT --account-key $KEY
az storage file upload --share-name external --source ranks.py --path scripts --account-name $ACCOUNT --account-key $KEY
for part in 1 2; do
  echo $part > part$part.txt
  az storage blob upload --container-name dataset --file part$part.txt --name parts/part$part.txt \
    --account-name $ACCOUNT --account-key $KEY --no-progress
done
az storage blob list --container-name dataset --account-name $ACCOUNT --account-key $KEY --output table

cat > mpi.json <<EOF
{
  "properties": {
    "nodeCount": 2,
    "customMpiSettings": {
      "commandLine": "python3 \$AZ_BATCHAI_MOUNT_ROOT/external/scripts/ranks.py --data \$AZ_BATCHAI_INPUT_DATASET",
      "processCount": 2
    },
    "jobPreparation": { "commandLine": "echo prepared > \$AZ_BATCHAI_JOB_TEMP/prepared" },
    "stdOutErrPathPrefix": "\$AZ_BATCHAI_MOUNT_ROOT/external",
    "inputDirectories": [ { "id": "DATASET", "path": "\$AZ_BATCHAI_MOUNT_ROOT/bfs/parts" } ],
    "outputDirectories": [ { "id": "MODEL", "pathPrefix": "\$AZ_BATCHAI_MOUNT_ROOT/external", "pathSuffix": "Models" } ],
    "environmentVariables": [ { "name": "EPOCHS", "value": "3" } ],
    "secrets": [ { "name": "TOKEN", "value": "t0ken" } ],
    "containerSettings": { "imageSourceRegistry": { "image": "tensorflow/tensorflow:1.8.0-gpu" } }
  }
}
EOF

az batchai workspace create --workspace recipe_workspace --resource-group $GROUP
az batchai cluster create --name nc6 --image UbuntuLTS --vm-size Standard_NC6 --target 2 --user-name demo \
  --generate-ssh-keys --resource-group $GROUP --workspace recipe_workspace \
  --storage-account-name $ACCOUNT --storage-account-key $KEY \
  --afs-name external --afs-mount-path external --bfs-name dataset --bfs-mount-path bfs
az batchai experiment create --name mpi_experiment --resource-group $GROUP --workspace recipe_workspace
az batchai job create --cluster nc6 --name mpi_job --experiment mpi_experiment --resource-group $GROUP \
  --workspace recipe_workspace --config-file mpi.json
az batchai job wait --name mpi_job --experiment mpi_experiment --resource-group $GROUP --workspace recipe_workspace
az batchai cluster node list --cluster nc6 --resource-group $GROUP --workspace recipe_workspace --output table
az batchai job file list --job mpi_job --experiment mpi_experiment --resource-group $GROUP \
  --workspace recipe_workspace --output-directory-id stdouterr --query '[].name' --output tsv
az batchai job file stream --job mpi_job --experiment mpi_experiment --resource-group $GROUP \
  --workspace recipe_workspace --file-name stdout.txt
az batchai job file stream --job mpi_job --experiment mpi_experiment --resource-group $GROUP \
  --workspace recipe_workspace --output-directory-id MODEL --file-name model.txt
az batchai cluster resize --name nc6 --target 0 --resource-group $GROUP --workspace recipe_workspace
az batchai job delete --name mpi_job --experiment mpi_experiment --resource-group $GROUP \
  --workspace recipe_workspace --yes
az group delete -n $GROUP -y
az group exists -n $GROUP
