#!/bin/sh
# A nightly run from cron: plain sh, defaults, here-documents, names of options of 2017 and 2018, answers as tsv.
set -e
GROUP=nightly; WS=ws; EXP=exp
trap 'echo "failed at line $LINENO" >&2' EXIT
az account show --query '{sub:id, user:user.name}' -o tsv | awk '{print NF " fields"}'
az group show -n $GROUP >/dev/null 2>&1 || az group create --name $GROUP --location "East US" --tags owner=cron >/dev/null
az configure --defaults group=$GROUP location=eastus
[ "$(az group exists -n $GROUP)" = true ]
ACCOUNT=nightlystore
if [ "$(az storage account check-name -n $ACCOUNT --query nameAvailable -o tsv)" = "true" ]; then
  az storage account create -n $ACCOUNT --sku Standard_LRS >/dev/null
fi
set -- $(az storage account keys list -n $ACCOUNT --query '[*].value' -o tsv)
[ $# -eq 2 ]
AZURE_STORAGE_ACCOUNT=$ACCOUNT AZURE_STORAGE_KEY=$1
export AZURE_STORAGE_ACCOUNT AZURE_STORAGE_KEY
for share in scripts logs; do az storage share create --name $share --quota 5 --query created -o tsv; done
az storage directory create --share-name scripts --name night/one --only-show-errors >/dev/null 2>&1 || {
  az storage directory create --share-name scripts --name night >/dev/null
  az storage directory create --share-name scripts --name night/one >/dev/null
}
az storage file upload --share-name scripts --source train.py --path night/one >/dev/null
az storage file upload --share-name scripts --source data.csv --path night/one/data.csv >/dev/null
az storage file list --share-name scripts --path night/one --query "sort_by([], &name)[].[name, properties.contentLength]" -o tsv

az batchai workspace create -n $WS >/dev/null
az batchai experiment create -w $WS -n $EXP --query provisioningState --output tsv
cat > cluster.json <<EOT
{"properties": {"vmSize": "STANDARD_D2", "scaleSettings": {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2, "initialNodeCount": 1}},
  "userAccountSettings": {"adminUserName": "demo", "adminUserPassword": "Passw0rd!demo"},
  "nodeSetup": {"mountVolumes": {"azureFileShares": [
    {"accountName": "$ACCOUNT", "azureFileUrl": "https://$ACCOUNT.file.core.windows.net/logs", "relativeMountPath": "afs",
     "credentials": {"accountKey": "<AZURE_BATCHAI_STORAGE_KEY>"}}]}}}}
EOT
AZURE_BATCHAI_STORAGE_ACCOUNT=$ACCOUNT AZURE_BATCHAI_STORAGE_KEY=$AZURE_STORAGE_KEY \
  az batchai cluster create -w $WS -n c1 -c cluster.json >/dev/null
n=0
until [ "$(az batchai cluster show -w $WS -n c1 --query 'nodeStateCounts.idleNodeCount' -o tsv)" -ge 1 ]; do
  n=$((n + 1)); [ $n -lt 60 ] || exit 1; sleep 1
done
az batchai cluster list-nodes -w $WS --cluster-name c1 --query "[].port" -o tsv | grep -c .

for epochs in 1 2; do
  sed "s/@N@/$epochs/" > job$epochs.json <<'EOT'
{"nodeCount": 1, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
 "inputDirectories": [{"id": "SCRIPT", "path": "$AZ_BATCHAI_JOB_MOUNT_ROOT/code/night/one"}],
 "outputDirectories": [{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs", "pathSuffix": "model"}],
 "environmentVariables": [{"name": "EPOCHS", "value": "@N@"}],
 "customToolkitSettings": {"commandLine": "echo epochs $EPOCHS; python3 $AZ_BATCHAI_INPUT_SCRIPT/train.py $AZ_BATCHAI_INPUT_SCRIPT"}}
EOT
  az batchai job create -w $WS -e $EXP -n night$epochs -r c1 -f job$epochs.json --storage-account-name $ACCOUNT \
    --afs-name scripts --afs-mount-path code >/dev/null
done
while :; do
  waiting=$(az batchai job list -w $WS -e $EXP --query "length([?executionState=='queued' || executionState=='running'])")
  [ "$waiting" -eq 0 ] && break
  sleep 1
done
az batchai job list -w $WS -e $EXP --query "[].{name:name, state:executionState, code:executionInfo.exitCode}" -o tsv | sort
az batchai job list -w $WS -e $EXP --query '[].name' -o tsv | while read -r job; do
  az batchai job list-files -w $WS -e $EXP -n $job --output-directory-id stdouterr --query "[?ends_with(name, '.txt')].name" -o tsv
  url=$(az batchai job file list -w $WS -e $EXP -j $job --query "[?name=='stdout.txt'].downloadUrl | [0]" -o tsv)
  curl -sSf "$url" | sed "s/^/$job: /"
  az batchai job stream-file -w $WS -e $EXP --job-name $job -d MODEL -f model.txt; echo
done
az batchai job show -w $WS -e $EXP -n nosuchjob -o none 2>/dev/null || echo "no such job: $?"
az batchai job delete -w $WS -e $EXP -n night1 -y
az batchai cluster show -w $WS -n c1 -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["vmSize"])'
az batchai cluster list -w $WS -o table | tail -n +3 | awk '{print $1, $2}'
az batchai cluster delete -w $WS --name c1 --yes --no-wait
while az batchai cluster show -w $WS -n c1 >/dev/null 2>&1; do sleep 1; done
prefix=$(az storage file list -s logs --query '[0].name' -o tsv)
az storage file download-batch -s logs -d . --pattern "$prefix/*" --no-progress -o none
find "$prefix" -name model.txt | wc -l
az storage file delete-batch -s logs --dryrun -o none 2>/dev/null || true
az batchai workspace delete -n $WS -y
az configure --defaults group='' location=''
az group delete --name $GROUP --yes
trap - EXIT
echo "done, left: $(az group list --query 'length(@)' -o tsv)"
