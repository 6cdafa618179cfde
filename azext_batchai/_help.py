"""Help of every group and command.

One file however long, as it is one table that az reads as a whole: at each start, before it knows the command.
"""

# ruff: noqa: E501  (an example is one line, as it is typed)

from knack.help_files import helps

helps["batchai"] = """
type: group
short-summary: Manage Batch AI workspaces, clusters, experiments, jobs and file servers.
long-summary: |
    By default commands go to a Batch AI service on this machine, which the first command that needs it starts; see `az batchai local`.
    Set AZURE_BATCHAI_ENDPOINT or `az config set batchai.endpoint=...` to `arm` for Azure, or to a URL for another Batch AI endpoint.
"""

helps["batchai workspace"] = """
type: group
short-summary: Manage workspaces, which hold clusters, experiments and file servers.
"""

helps["batchai workspace create"] = """
type: command
short-summary: Create a workspace.
long-summary: On this machine its resource group is made along where it is missing; in Azure it has to be there (`az group create`).
examples:
  - name: Create a workspace in North Europe.
    text: az batchai workspace create -g MyResourceGroup -n MyWorkspace -l northeurope
  - name: Create a workspace in the location of its resource group.
    text: az batchai workspace create -g MyResourceGroup -n MyWorkspace
"""

helps["batchai workspace list"] = """
type: command
short-summary: List the workspaces of the subscription, or of a resource group.
examples:
  - name: List all workspaces.
    text: az batchai workspace list -o table
  - name: List the workspaces of one resource group.
    text: az batchai workspace list -g MyResourceGroup -o table
"""

helps["batchai workspace show"] = """
type: command
short-summary: Show a workspace.
examples:
  - name: Show a workspace.
    text: az batchai workspace show -g MyResourceGroup -n MyWorkspace
"""

helps["batchai workspace delete"] = """
type: command
short-summary: Delete a workspace with its clusters, experiments, jobs and file servers.
examples:
  - name: Delete a workspace.
    text: az batchai workspace delete -g MyResourceGroup -n MyWorkspace
  - name: Begin to delete a workspace, without a question and without waiting.
    text: az batchai workspace delete -g MyResourceGroup -n MyWorkspace --yes --no-wait
"""

helps["batchai cluster"] = """
type: group
short-summary: Manage clusters, the nodes that jobs run on.
"""

helps["batchai cluster create"] = """
type: command
short-summary: Create a cluster.
long-summary: |
    The command returns when the cluster exists; its nodes are allocated after that. `az batchai cluster show -o table` shows how far they are.
    Without --storage-account-name, the account of AZURE_BATCHAI_STORAGE_ACCOUNT and AZURE_BATCHAI_STORAGE_KEY is mounted, or that of storage_account and storage_key in the batchai section of the az configuration. A configuration file may hold `<AZURE_BATCHAI_STORAGE_ACCOUNT>` and `<AZURE_BATCHAI_STORAGE_KEY>` in place of them.
examples:
  - name: Create a cluster of one GPU node, with SSH keys made for you.
    text: az batchai cluster create -g MyResourceGroup -w MyWorkspace -n MyCluster --vm-size Standard_NC6 --target 1 --generate-ssh-keys
  - name: Create an auto-scale cluster of 0 to 4 low-priority nodes with storage made for you.
    text: az batchai cluster create -g MyResourceGroup -w MyWorkspace -n MyCluster --vm-size Standard_NC6 --vm-priority lowpriority --min 0 --max 4 --use-auto-storage --generate-ssh-keys
  - name: Create a cluster with a file share, a blob container and a file server mounted, each node set up by a command.
    text: |
        az batchai cluster create -g MyResourceGroup -w MyWorkspace -n MyCluster \\
            --vm-size Standard_NC6 --target 1 --image UbuntuDSVM \\
            --storage-account-name mystorage --afs-name myshare --bfs-name mycontainer --nfs MyFileServer \\
            --setup-task "apt install unzip -y" --user-name adminuser --ssh-key id_rsa.pub
  - name: Create a cluster on this machine, whatever engine the configuration names (`az batchai local engines` lists them).
    text: az batchai cluster create -g MyResourceGroup -w MyWorkspace -n MyCluster --vm-size Standard_NC6 --min 0 --max 4 --engine local --generate-ssh-keys
  - name: Create a cluster from a configuration file.
    text: az batchai cluster create -g MyResourceGroup -w MyWorkspace -n MyCluster -f cluster.json -p MyPassw0rd
"""

helps["batchai cluster list"] = """
type: command
short-summary: List the clusters of a workspace.
examples:
  - name: List the clusters of a workspace.
    text: az batchai cluster list -g MyResourceGroup -w MyWorkspace -o table
"""

helps["batchai cluster show"] = """
type: command
short-summary: Show a cluster, its nodes by state, and what is wrong with them.
examples:
  - name: Show the states of a cluster's nodes.
    text: az batchai cluster show -g MyResourceGroup -w MyWorkspace -n MyCluster -o table
  - name: Show why nodes are unusable.
    text: az batchai cluster show -g MyResourceGroup -w MyWorkspace -n MyCluster --query errors
"""

helps["batchai cluster resize"] = """
type: command
short-summary: Set the number of nodes of a cluster.
long-summary: An auto-scale cluster becomes one of a fixed size. With 0 nodes a cluster costs nothing and keeps its configuration.
examples:
  - name: Stop paying for a cluster that is not needed now.
    text: az batchai cluster resize -g MyResourceGroup -w MyWorkspace -n MyCluster --target 0
"""

helps["batchai cluster auto-scale"] = """
type: command
short-summary: Let a cluster grow with the number of waiting jobs and shrink when its nodes are idle.
examples:
  - name: Keep between 0 and 10 nodes.
    text: az batchai cluster auto-scale -g MyResourceGroup -w MyWorkspace -n MyCluster --min 0 --max 10
"""

helps["batchai cluster diagnose"] = """
type: command
short-summary: Say what is wrong with a cluster's nodes, with the output of its setup task, and what to type next.
long-summary: With --output or --query the same as data.
examples:
  - name: Find out why nodes are unusable.
    text: az batchai cluster diagnose -g MyResourceGroup -w MyWorkspace -n MyCluster
"""

helps["batchai cluster usage"] = """
type: command
short-summary: Say for how many hours nodes ran jobs, of which experiments, and for how many they were idle.
long-summary: |
    The local service keeps when nodes changed their states, for 400 days, also of clusters that are deleted. Times are those of the clock: one that was set wrong shows.
examples:
  - name: Show what the nodes of all clusters did in the last week.
    text: az batchai cluster usage --since 7d -o table
  - name: Show what the nodes of one cluster did today.
    text: az batchai cluster usage -g MyResourceGroup -w MyWorkspace -n MyCluster --since 24h
"""

helps["batchai cluster delete"] = """
type: command
short-summary: Delete a cluster and its nodes.
examples:
  - name: Delete a cluster.
    text: az batchai cluster delete -g MyResourceGroup -w MyWorkspace -n MyCluster
"""

helps["batchai cluster node"] = """
type: group
short-summary: Reach the nodes of a cluster.
"""

helps["batchai cluster node list"] = """
type: command
short-summary: List the nodes of a cluster with their SSH addresses.
examples:
  - name: List the nodes of a cluster.
    text: az batchai cluster node list -g MyResourceGroup -w MyWorkspace -c MyCluster -o table
"""

helps["batchai cluster node exec"] = """
type: command
short-summary: Run a command on a node of a cluster, or forward ports to it.
long-summary: |
    The exit code is that of the command; 128 plus its number where a signal ended it.
    The host key of a node is kept when it is first seen, and any other is refused from then on.
examples:
  - name: Run a command on the first node.
    text: az batchai cluster node exec -g MyResourceGroup -w MyWorkspace -c MyCluster --exec "df -h"
  - name: Reach port 8888 of a node at port 9000 of this machine.
    text: az batchai cluster node exec -g MyResourceGroup -w MyWorkspace -c MyCluster -n tvm-1_1-20180606t212057z -L 9000:localhost:8888
"""

helps["batchai cluster node ssh"] = """
type: command
short-summary: Open a shell on a node of a cluster with the OpenSSH client, or run a command there.
long-summary: |
    Ends as ssh does: with the exit code of the shell or command, 255 where there is no connection. ~/.ssh/config is not read; host keys are kept where `node exec` keeps them. Where the cluster has a password and no key, ssh asks for it.
examples:
  - name: Open a shell on the first node.
    text: az batchai cluster node ssh -g MyResourceGroup -w MyWorkspace -c MyCluster
  - name: Run a command on a node.
    text: az batchai cluster node ssh -g MyResourceGroup -w MyWorkspace -c MyCluster -n tvm-1_1-20180606t212057z -- ls -l /tmp
  - name: Reach port 6006 of the node at the same port of this machine, for as long as the shell is open.
    text: az batchai cluster node ssh -g MyResourceGroup -w MyWorkspace -c MyCluster -L 6006
"""

helps["batchai cluster node ssh-config"] = """
type: command
short-summary: Print the nodes of a cluster as hosts for ~/.ssh/config, or write them there, for editors, scp and rsync.
long-summary: |
    The hosts are CLUSTER-0, CLUSTER-1 and so on, in the order of `az batchai cluster node list`. Nodes that come later have other ports: write the hosts again then.
examples:
  - name: Print the hosts.
    text: az batchai cluster node ssh-config -g MyResourceGroup -w MyWorkspace -c MyCluster
  - name: Write the hosts, so that `ssh MyCluster-0`, `scp`, `rsync` and VS Code (Remote-SSH) know them.
    text: az batchai cluster node ssh-config -g MyResourceGroup -w MyWorkspace -c MyCluster --write
"""

helps["batchai cluster file"] = """
type: group
short-summary: Read the output of a cluster's setup task.
"""

helps["batchai cluster file list"] = """
type: command
short-summary: List the files that the setup task wrote on each node, with URLs to download them.
long-summary: The output of the setup task must be on an Azure file share or blob container of the cluster. The storage account is looked up in your subscription and asked directly.
examples:
  - name: List the output of the setup task.
    text: az batchai cluster file list -g MyResourceGroup -w MyWorkspace -c MyCluster -o table
  - name: List a subfolder, with URLs that are valid for ten hours.
    text: az batchai cluster file list -g MyResourceGroup -w MyWorkspace -c MyCluster -p logs --expiry 600
"""

helps["batchai experiment"] = """
type: group
short-summary: Manage experiments, the groups of jobs that belong together.
"""

helps["batchai experiment create"] = """
type: command
short-summary: Create an experiment.
examples:
  - name: Create an experiment.
    text: az batchai experiment create -g MyResourceGroup -w MyWorkspace -n MyExperiment
"""

helps["batchai experiment list"] = """
type: command
short-summary: List the experiments of a workspace.
examples:
  - name: List the experiments of a workspace.
    text: az batchai experiment list -g MyResourceGroup -w MyWorkspace -o table
"""

helps["batchai experiment show"] = """
type: command
short-summary: Show an experiment.
examples:
  - name: Show an experiment.
    text: az batchai experiment show -g MyResourceGroup -w MyWorkspace -n MyExperiment
"""

helps["batchai experiment wait"] = """
type: command
short-summary: Wait until all jobs of an experiment have ended.
long-summary: The exit code is 0 where all succeeded, 1 where one failed, 124 when --timeout has passed, and 130 after Ctrl-C; both leave the jobs alone.
examples:
  - name: Wait for all jobs, an hour at most.
    text: az batchai experiment wait -g MyResourceGroup -w MyWorkspace -n MyExperiment --timeout 3600
"""

helps["batchai experiment compare"] = """
type: command
short-summary: Show the jobs of an experiment beside each other, with parameters, metrics, duration and exit code.
long-summary: Metrics are read as by `az batchai job metrics`; parameters are those of `az batchai job sweep`.
examples:
  - name: Show the jobs with the best accuracy first.
    text: az batchai experiment compare -g MyResourceGroup -w MyWorkspace -n MyExperiment --metric accuracy --max --sort -o table
  - name: Draw the loss that jobs print into a file.
    text: az batchai experiment compare -g MyResourceGroup -w MyWorkspace -n MyExperiment --pattern 'loss (?P<loss>[0-9.]+)' --min --plot loss.svg
"""

helps["batchai experiment tensorboard"] = """
type: command
short-summary: Start your TensorBoard on the output of all jobs of an experiment, each of which is a run. Ctrl-C ends it.
examples:
  - name: Look at all jobs, at a port of your own.
    text: az batchai experiment tensorboard -g MyResourceGroup -w MyWorkspace -n MyExperiment --port 6007
"""

helps["batchai experiment resubmit"] = """
type: command
short-summary: Submit the jobs of an experiment once more that have ended.
long-summary: Job NAME is submitted again as NAME-again, then as NAME-again-2. Of a job that was submitted again only the last attempt counts, and one that is queued or running is left alone.
examples:
  - name: Submit the failed jobs once more.
    text: az batchai experiment resubmit -g MyResourceGroup -w MyWorkspace -n MyExperiment --failed
"""

helps["batchai experiment terminate"] = """
type: command
short-summary: End all queued and running jobs of an experiment. They stay in the list, as failed.
examples:
  - name: Terminate all jobs without a question.
    text: az batchai experiment terminate -g MyResourceGroup -w MyWorkspace -n MyExperiment --yes
"""

helps["batchai experiment delete"] = """
type: command
short-summary: Delete an experiment and its jobs.
examples:
  - name: Delete an experiment.
    text: az batchai experiment delete -g MyResourceGroup -w MyWorkspace -n MyExperiment
"""

helps["batchai job"] = """
type: group
short-summary: Submit, watch and end jobs.
"""

helps["batchai job create"] = """
type: command
short-summary: Submit a job to a cluster.
examples:
  - name: Submit the job that job.json describes.
    text: az batchai job create -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob -c MyCluster -f job.json
  - name: Mount a file share on the job's nodes while it runs.
    text: |
        az batchai job create -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob -c MyCluster -f job.json \\
            --storage-account-name mystorage --afs-name myshare
  - name: Only check the job, and print what would be sent.
    text: az batchai job create -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob -c MyCluster -f job.json --dry-run
"""

helps["batchai job list"] = """
type: command
short-summary: List the jobs of an experiment.
examples:
  - name: List the jobs of an experiment.
    text: az batchai job list -g MyResourceGroup -w MyWorkspace -e MyExperiment -o table
  - name: List them with when they started, how long they ran, and why they wait or failed.
    text: az batchai job list -g MyResourceGroup -w MyWorkspace -e MyExperiment -o table --wide
"""

helps["batchai job show"] = """
type: command
short-summary: Show a job.
examples:
  - name: Show the state and the exit code of a job.
    text: az batchai job show -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob -o table
  - name: Print the job.json that makes such a job.
    text: az batchai job show -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --as-config
"""

helps["batchai job wait"] = """
type: command
short-summary: Wait until a job has ended, and exit as it did.
long-summary: |
    The exit code is the job's exit code: 0 when it succeeded; 1 when it failed without one, as a terminated job does; 128 plus its number where a signal ended it.
    It is 3 when the job is not there or is deleted meanwhile, 124 when --timeout has passed, and 130 after Ctrl-C; both leave the job alone.
    What happens is told on standard error; --only-show-errors turns that off.
examples:
  - name: Wait for a job.
    text: az batchai job wait -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
  - name: Wait for a job, an hour at most.
    text: az batchai job wait -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --timeout 3600
  - name: Wait for the first of the jobs of an experiment that ends.
    text: az batchai job wait -g MyResourceGroup -w MyWorkspace -e MyExperiment --any
"""

helps["batchai job init"] = """
type: command
short-summary: Write a first job.json.
long-summary: It is for clusters with --use-auto-storage, whose share has the script and takes the output.
examples:
  - name: Write a job.json that runs train.py in a process on each of two nodes.
    text: az batchai job init --toolkit pytorch --nodes 2 -f first.json
"""

helps["batchai job resubmit"] = """
type: command
short-summary: Submit a job once more, as it was or changed.
examples:
  - name: Submit a job once more, under a new name.
    text: az batchai job resubmit -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
  - name: Submit it with another command line.
    text: az batchai job resubmit -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --new-name Other --set customToolkitSettings.commandLine="echo again"
"""

helps["batchai job run"] = """
type: command
short-summary: Run a command line as a job, follow all its ranks, and exit as it did.
long-summary: |
    On this machine the workspace, the cluster and the experiment are made where they are missing, and the lines that make them are said; elsewhere they have to be there.
    The output of the job goes to standard output and standard error; each line begins with its rank where there are several. Ctrl-C leaves the job running and says how to follow it again.
    The exit code is that of `az batchai job wait`.
examples:
  - name: Run a line of the shell's.
    text: az batchai job run -- 'echo hello from $(hostname)'
  - name: Run a script in two processes on each of two nodes, with RANK and MASTER_ADDR set as PyTorch reads them.
    text: az batchai job run --nodes 2 --processes 4 --env LEVEL=info -- python3 train.py --lr 0.1
  - name: Run a script in a copy of the current folder, and fetch what it has written.
    text: az batchai job run --source . --download results -- 'python3 train.py > $AZ_BATCHAI_OUTPUT_RESULTS/log'
  - name: Print the job.json of a command line.
    text: az batchai job run --nodes 2 --dry-run -- python3 train.py
  - name: Run a job.json on a cluster of your own, and do not wait.
    text: az batchai job run -g MyResourceGroup -w MyWorkspace -e MyExperiment -c MyCluster -f job.json --detach
"""

helps["batchai job sweep"] = """
type: command
short-summary: Submit a job for each combination of parameters.
long-summary: |
    `{lr}` in the command line, the job preparation and the values of variables becomes the value of the parameter lr; each job also has it as variable PARAM_LR. Places that are missing are made as by `az batchai job run`.
    Wait for all with `az batchai experiment wait`, end all with `az batchai experiment terminate`.
examples:
  - name: Try six combinations, two at once.
    text: az batchai job sweep --param lr=0.1,0.01 --param seed=0..2 --max-running 2 -- python3 train.py --lr {lr} --seed {seed}
  - name: Draw ten learning rates on a logarithmic scale.
    text: az batchai job sweep -n 'lr-{lr}' --param lr=log:1e-5..1e-1 --random 10 --seed 1 --dry-run -- python3 train.py --lr {lr}
  - name: Sweep a job.json on a cluster of your own.
    text: az batchai job sweep -g MyResourceGroup -w MyWorkspace -e MyExperiment -c MyCluster -f job.json --param size=1,2
"""

helps["batchai job metrics"] = """
type: command
short-summary: Show the metrics that a job has written.
long-summary: They are read from metrics.json, JSON lines (*.jsonl, one object a line) and TensorBoard event files in the job's output directories, or by --pattern from the stdout of its first rank.
examples:
  - name: Show the metrics of a job.
    text: az batchai job metrics -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob -o table
  - name: Draw the loss that a script prints, in the terminal.
    text: az batchai job metrics -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --pattern 'loss (?P<loss>[0-9.]+)' --plot
"""

helps["batchai job tensorboard"] = """
type: command
short-summary: Start your TensorBoard on the output of a job. Ctrl-C ends it.
examples:
  - name: Look at a job.
    text: az batchai job tensorboard -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
"""

helps["batchai job schema"] = """
type: command
short-summary: Print the JSON Schema of job.json, for editors and checkers.
examples:
  - name: Print the schema of job.json.
    text: az batchai job schema
  - name: Print the schema of the configuration file of a cluster.
    text: az batchai job schema --file-of cluster
"""

helps["batchai job validate"] = """
type: command
short-summary: Say what is wrong with a job.json, or how it would run.
long-summary: The command line, the node, the files and the variables of each rank are printed. The exit code is 0 where nothing is wrong, else 1. With a cluster of this machine, scripts that are not on their share and programs that are not installed are warned of, which the exit code leaves aside.
examples:
  - name: Check the keys of a file.
    text: az batchai job validate -f job.json
  - name: Hold it against a cluster too.
    text: az batchai job validate -f job.json -g MyResourceGroup -w MyWorkspace -c MyCluster
"""

helps["batchai job logs"] = """
type: command
short-summary: Print the output of a job, of all its ranks at once.
long-summary: |
    Where the ranks of a job write files of their own, each line begins with its rank. With --follow the command goes on until the job has ended; Ctrl-C ends it with exit code 130 and leaves the job alone.
examples:
  - name: Print what a job has written.
    text: az batchai job logs -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
  - name: Follow a job, beginning with the last 10 lines of each rank.
    text: az batchai job logs -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --tail 10 --follow
  - name: Print the lines of the last five minutes.
    text: az batchai job logs -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --since 5m
  - name: Print what the first rank wrote on stderr.
    text: az batchai job logs -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --rank 0 --stderr
"""

helps["batchai job diagnose"] = """
type: command
short-summary: Say how a job stands and why, what it wrote last, and what to type next.
long-summary: For a job that failed these are the rank, the node and the last lines of the process that failed first; for one that waits what its cluster lacks. With --output or --query the same as data.
examples:
  - name: Find out why a job failed, or why it waits.
    text: az batchai job diagnose -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
"""

helps["batchai job terminate"] = """
type: command
short-summary: End a queued or running job. It stays in the list, as failed.
examples:
  - name: Terminate a job without a question.
    text: az batchai job terminate -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob --yes
"""

helps["batchai job delete"] = """
type: command
short-summary: Delete a job; one that is running is ended. Its output files stay.
examples:
  - name: Delete a job.
    text: az batchai job delete -g MyResourceGroup -w MyWorkspace -e MyExperiment -n MyJob
"""

helps["batchai job node"] = """
type: group
short-summary: Reach the nodes that a job runs on.
"""

helps["batchai job node list"] = """
type: command
short-summary: List the nodes that a job runs on, with their SSH addresses.
examples:
  - name: List the nodes of a running job.
    text: az batchai job node list -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -o table
"""

helps["batchai job node exec"] = """
type: command
short-summary: Run a command on a node of a job, or forward ports to it.
long-summary: |
    The exit code is that of the command; 128 plus its number where a signal ended it.
    The host key of a node is kept when it is first seen, and any other is refused from then on.
examples:
  - name: See the processes on the first node of a job.
    text: az batchai job node exec -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob --exec "ps aux"
  - name: Reach the TensorBoard that a job runs on port 6006, at the same port of this machine.
    text: az batchai job node exec -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -L 6006:localhost:6006
"""

helps["batchai job node ssh"] = """
type: command
short-summary: Open a shell on a node of a job with the OpenSSH client, or run a command there.
long-summary: See `az batchai cluster node ssh`.
examples:
  - name: See the processes on the node of rank 0.
    text: az batchai job node ssh -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob --rank 0 -- ps aux
"""

helps["batchai job file"] = """
type: group
short-summary: Read the output files of a job.
"""

helps["batchai job file list"] = """
type: command
short-summary: List the files of one of a job's output folders, with URLs to download them.
long-summary: The folder must be on an Azure file share or blob container.
examples:
  - name: List stdout, stderr and the logs.
    text: az batchai job file list -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -o table
  - name: List a subfolder of the output directory MODEL.
    text: az batchai job file list -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -d MODEL -p checkpoints
"""

helps["batchai job file stream"] = """
type: command
short-summary: Print a file of a job while the job writes it.
long-summary: The command waits for the file, and ends when the job has ended and all of the file is printed. Ctrl-C ends it with exit code 130 and leaves the job alone.
examples:
  - name: Follow the standard output of a job.
    text: az batchai job file stream -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -f stdout.txt
  - name: Follow a file in the output directory MODEL.
    text: az batchai job file stream -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -d MODEL -f training.log
"""

helps["batchai job file download"] = """
type: command
short-summary: Copy one of a job's output folders to this machine, with its subfolders.
long-summary: What is there already, as large and of the same time, is left alone; a copy that was cut off goes on where it stopped.
examples:
  - name: Copy stdout, stderr and the logs to a folder.
    text: az batchai job file download -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob --dest output
  - name: Copy a subfolder of the output directory MODEL.
    text: az batchai job file download -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -d MODEL -p checkpoints --dest checkpoints
"""

helps["batchai job file upload"] = """
type: command
short-summary: Copy a file or a folder of this machine into one of a job's output folders.
long-summary: What is there already, as large and no older or, over a network, with the same MD5, is left alone; a large file that was cut off there goes on behind what came over.
examples:
  - name: Give a job a checkpoint to go on from.
    text: az batchai job file upload -g MyResourceGroup -w MyWorkspace -e MyExperiment -j MyJob -d MODEL --source train.py
"""

helps["batchai cluster file upload"] = """
type: command
short-summary: Copy a file or a folder of this machine to a share or container that a cluster mounts.
long-summary: What is there already, as large and no older or, over a network, with the same MD5, is left alone; a large file that was cut off there goes on behind what came over.
examples:
  - name: Copy a script to the first share, $AZ_BATCHAI_MOUNT_ROOT/autoafs of auto storage.
    text: az batchai cluster file upload -g MyResourceGroup -w MyWorkspace -c MyCluster --source train.py
  - name: Copy it to a folder of the container.
    text: az batchai cluster file upload -g MyResourceGroup -w MyWorkspace -c MyCluster --source train.py --path autobfs/code
"""

helps["batchai file-server"] = """
type: group
short-summary: Manage file servers, which clusters and jobs can mount.
"""

helps["batchai file-server create"] = """
type: command
short-summary: Create a file server.
examples:
  - name: Create a file server with two disks of 10 GB.
    text: az batchai file-server create -g MyResourceGroup -w MyWorkspace -n MyFileServer -s Standard_D1 --disk-count 2 --disk-size 10 --storage-sku Standard_LRS --generate-ssh-keys
  - name: Create a file server from a configuration file.
    text: az batchai file-server create -g MyResourceGroup -w MyWorkspace -n MyFileServer -f file-server.json
"""

helps["batchai file-server list"] = """
type: command
short-summary: List the file servers of a workspace.
examples:
  - name: List the file servers of a workspace.
    text: az batchai file-server list -g MyResourceGroup -w MyWorkspace -o table
"""

helps["batchai file-server show"] = """
type: command
short-summary: Show a file server.
examples:
  - name: Show where a file server can be reached.
    text: az batchai file-server show -g MyResourceGroup -w MyWorkspace -n MyFileServer --query mountSettings
"""

helps["batchai file-server delete"] = """
type: command
short-summary: Delete a file server and what is stored on it.
examples:
  - name: Delete a file server.
    text: az batchai file-server delete -g MyResourceGroup -w MyWorkspace -n MyFileServer
"""

helps["batchai list-usages"] = """
type: command
short-summary: List how much of the clusters and cores of a location is used, and the limits.
examples:
  - name: List the usages of East US.
    text: az batchai list-usages -l eastus -o table
"""

helps["batchai local"] = """
type: group
short-summary: Manage the Batch AI service on this machine.
long-summary: |
    The service keeps its state in AZURE_BATCHAI_HOME, by default the folder batchai beside the az configuration (~/.azure/batchai). It listens on 127.0.0.1 only.
    Jobs run as you, on this machine: nodes are no security boundary.
"""

helps["batchai local up"] = """
type: command
short-summary: Start the service, unless it runs already.
examples:
  - name: Start the service.
    text: az batchai local up
  - name: Start the service on a port of your choice.
    text: az batchai local up --port 8765
"""

helps["batchai local status"] = """
type: command
short-summary: Show whether the service runs, and what is in it.
examples:
  - name: Show the service as a table.
    text: az batchai local status -o table
"""

helps["batchai local down"] = """
type: command
short-summary: Stop the service. Running jobs go on, and the next start finds them again.
examples:
  - name: Stop the service.
    text: az batchai local down
"""

helps["batchai local logs"] = """
type: command
short-summary: Print the log of the service.
examples:
  - name: Print the last 20 lines and go on with new ones.
    text: az batchai local logs --tail 20 --follow
"""

helps["batchai local ui"] = """
type: command
short-summary: Look at clusters, jobs, logs and metrics in a browser.
long-summary: |
    Prints an address of the service on this machine that lets its first reader in, once and within ten minutes; on a desktop it is opened. The session ends with the service, or with --revoke.
    From another machine, forward the port with `ssh -L` and open the address there.
examples:
  - name: Open the page.
    text: az batchai local ui
  - name: Print the address, to be opened elsewhere.
    text: az batchai local ui --print
  - name: End all sessions.
    text: az batchai local ui --revoke
"""

helps["batchai local top"] = """
type: command
short-summary: Watch clusters, nodes, jobs and what needs attention in the terminal.
long-summary: |
    Looks every second, until q is pressed; the arrows, page up and page down scroll. A node is a letter: Running, Idle, Preparing, Allocating, Leaving or Unusable.
    With --output or --query it gives the data once.
examples:
  - name: Watch.
    text: az batchai local top
  - name: Print it once.
    text: az batchai local top --once
  - name: Print what needs attention as JSON.
    text: az batchai local top --once --query attention
"""

helps["batchai local env"] = """
type: command
short-summary: Print what turns a shell to the local cloud, so that every `az` in it talks to the service on this machine.
long-summary: |
    The shell gets an az configuration of its own, registered and logged in; yours (~/.azure) is left as it is. Resource groups, storage accounts and Batch AI work as in Azure, and `az account show` says that this is the local cloud.
examples:
  - name: Turn this shell to the local cloud, with eval "$(...)" around it.
    text: az batchai local env
  - name: Turn it back, with eval "$(...)" around it.
    text: az batchai local env --unset
  - name: The same for fish, with | source behind it.
    text: az batchai local env --shell fish
"""

helps["batchai local run"] = """
type: command
short-summary: Run a program in the local cloud, so that every `az` in it talks to the service on this machine.
long-summary: It ends with the exit code of the program. What `az batchai local env` sets is set for the program alone.
examples:
  - name: Run an old script, unchanged.
    text: az batchai local run -- ./script.sh
"""

helps["batchai local engines"] = """
type: command
short-summary: List the engines that give clusters their nodes, this machine and the profiles of engines.json.
long-summary: engines.json lies in the state folder; AZURE_BATCHAI_ENGINES names another file.
examples:
  - name: Find out whether the profiles work.
    text: az batchai local engines --check
"""

helps["batchai local doctor"] = """
type: command
short-summary: Say what this machine has for jobs, what is missing and what it would give.
long-summary: |
    A line for each: `ok`, `note`, `missing` (an optional part), `wrong` (something will fail). With --output or --query the findings are printed as those say. The service is neither needed nor started.
    The exit code is 1 where something is wrong, else 0.
examples:
  - name: Look at this machine, the state folder and the service.
    text: az batchai local doctor
  - name: List what is missing, for a script.
    text: az batchai local doctor --query "[?status=='missing'].check" -o tsv
"""

helps["batchai local connection-string"] = """
type: command
short-summary: Print the connection string of a storage account, for `az storage` and the storage SDKs.
long-summary: An account that does not exist is made. The string stays good when the service is started anew, as long as nobody else takes its port meanwhile.
examples:
  - name: Let `az storage` work on an account, without a login.
    text: az batchai local connection-string -n mystorage --query connectionString -o tsv
"""

helps["batchai local preempt"] = """
type: command
short-summary: Take a low-priority node away, as Azure does when it needs the machine.
long-summary: The node's job gets SIGTERM, is ended after the grace time, and is queued again.
examples:
  - name: Take a node away. `az batchai cluster node list` shows the ids.
    text: az batchai local preempt -n tvm-1783593343_1-20180606t212057z-p
"""

helps["batchai local reset"] = """
type: command
short-summary: End all jobs and nodes and delete all state of the service, storage folders included.
examples:
  - name: Begin anew, without a question.
    text: az batchai local reset --yes
"""
