// SPDX-License-Identifier: Apache-2.0
/* help: what is said of a command, with an example that can be copied. */
#include "oci/people.h"
#include "oci/term.h"

#include "base/res.h"

#include <string.h>

static const char overview[] =
	"stasis freezes containers into files and brings them back.\n"
	"\n"
	"  stasis list                          which containers run here\n"
	"  stasis checkpoint CONTAINER          freeze one; it ends, or runs on with --leave-running\n"
	"  stasis restore DIR                   bring it back\n"
	"  stasis show DIR|ARCHIVE              what does a checkpoint hold?\n"
	"  stasis check DIR|ARCHIVE             is it whole?\n"
	"  stasis help COMMAND                  more about one of them, with examples\n"
	"\n"
	"CONTAINER is the name or id of a container of runc, crun, Podman, containerd, Docker or LXC, or a pid.\n"
	"\n"
	"Criu's commands do the same for runtimes and for trees of processes; runc, crun, Podman and others\n"
	"call them by themselves where stasis is installed as criu:\n"
	"\n"
	"  stasis dump -t PID -D DIR            stasis restore -D DIR\n"
	"  stasis check                         can this system do it?\n"
	"  stasis service, stasis swrk FD       serve criu's RPC\n"
	"  stasis help dump                     these commands and their options\n"
	"\n"
	"stasis(8) says more.\n";

static const struct topic {
	const char *name, *text;
} topics[] = {
	{ "checkpoint",
	  "stasis checkpoint CONTAINER [-D DIR] [options]\n"
	  "stasis checkpoint CONTAINER --export FILE [options]\n"
	  "\n"
	  "Writes everything about a container's processes into DIR (checkpoint-NAME unless given), or into one\n"
	  "file: an archive as Podman, CRI-O and checkpointctl read it, with what the container changed in its\n"
	  "root file system. CONTAINER is a name, an id, the beginning of an id, or a pid.\n"
	  "The container ends, unless it is to run on. If anything fails, it runs on as before.\n"
	  "\n"
	  "  -R, --leave-running       let it run on\n"
	  "  -D, --images-dir DIR      where the images go; a directory without a checkpoint in it\n"
	  "      --export FILE         an archive instead: FILE.tar, FILE.tar.gz, FILE.tar.zst\n"
	  "      --compress HOW        none, gzip or zstd, whatever the name ends in\n"
	  "      --format HOW          plain, or oci: an OCI image of it, as skopeo copies it (oci-archive:FILE)\n"
	  "      --whole-rootfs        all files of the root, not only those that differ from its image\n"
	  "      --ignore-volumes      without the contents of Podman's volumes; podman container restore wants to be\n"
	  "                            told the same\n"
	  "      --runtime-root DIR    look for the runtime's state there first (several: DIR:DIR);\n"
	  "                            $STASIS_RUNTIME_ROOT says the same\n"
	  "      --tcp-established     keep TCP connections (to other hosts, too)\n"
	  "  -l, --file-locks          keep file locks\n"
	  "      --json                what came of it as a JSON object: ok, images or archive, pids, times, log,\n"
	  "                            warnings; or error\n"
	  "Criu's other options for dump are taken, too: stasis help dump\n"
	  "\n"
	  "Try it:\n"
	  "  stasis checkpoint web --leave-running --export web.tar.zst\n"
	  "  stasis show web.tar.zst\n" },
	{ "restore",
	  "stasis restore DIR [options]\n"
	  "stasis restore --import FILE [--bundle DIR] [options]\n"
	  "\n"
	  "Brings back what stasis checkpoint wrote, and returns when it runs. A container of runc or crun comes\n"
	  "back on the same bundle, in the same cgroups; as long as the runtime has not deleted it, its commands\n"
	  "work on it again. Containers of Podman, Docker, CRI-O, containerd and LXC are theirs to restore, as\n"
	  "they set networks and storage up: Podman takes archives (podman container restore --import FILE).\n"
	  "Plain processes come back as they are; for these stasis waits until they end, unless -d is given.\n"
	  "Its output goes to the files that it went to; what was a pipe to the runtime is stasis's own output now.\n"
	  "\n"
	  "      --import FILE         from an archive; the changed files are put into the root first. Of this\n"
	  "                            machine it gets what the config.json of the bundle here gives it\n"
	  "      --bundle DIR          the bundle is there now\n"
	  "  -d, --restore-detached    processes without a container: do not wait\n"
	  "      --tcp-established     with connections, as at the checkpoint\n"
	  "      --json                what came of it as a JSON object: ok, pid, times, log, warnings; or error\n"
	  "Criu's other options for restore are taken, too. `stasis restore -D DIR` is criu's own command.\n"
	  "\n"
	  "By the runtime instead:\n"
	  "  runc delete ID; runc restore -d --image-path /path/of/DIR --bundle BUNDLE ID\n" },
	{ "list",
	  "stasis list [--all] [--json] [--runtime-root DIR]\n"
	  "\n"
	  "The containers of this machine that can be checkpointed: runtime (and who uses it), id, name, pid,\n"
	  "status. With --all those that do not run, too. Found in the state of runc and crun (also under\n"
	  "Podman, containerd and Docker), and of LXC; nothing is asked of a daemon.\n" },
	{ "show",
	  "stasis show DIR|ARCHIVE [--json]\n"
	  "\n"
	  "What a checkpoint holds: the tree of tasks with their command lines, memory, open files, sockets,\n"
	  "namespaces and mounts. Nothing is restored, and nothing in the checkpoint is trusted.\n"
	  "Command lines are stored in the memory of the tasks; of an archive, tasks with more than 16 MiB of\n"
	  "it are shown without.\n"
	  "\n"
	  "Try it:\n"
	  "  stasis show checkpoint-web --json | jq '.tasks[] | {pid, command}'\n" },
	{ "check",
	  "stasis check DIR|ARCHIVE [--json]\n"
	  "\n"
	  "Is this checkpoint whole? Every image is read to its end, and every reference from one to another is\n"
	  "looked up: tasks, threads, memory areas and their pages, files, sockets, mounts, namespaces. All\n"
	  "faults are listed. Exit status 0 if there are none.\n"
	  "\n"
	  "Without DIR: can this system do it? (stasis help dump)\n" },
};

int help_run(const char *command)
{
	char *usage[] = { "stasis", "--help", NULL };

	for (size_t i = 0; command && i < ARRAY_SIZE(topics); i++)
		if (!strcmp(topics[i].name, command)) {
			fputs(topics[i].text, stdout);
			return 0;
		}
	if (!command) {
		fputs(overview, stdout);
		return 0;
	}
	if (strcmp(command, "help") && strcmp(command, "criu") && !cli_has(command))
		return people_unknown(command);
	if (!strcmp(command, "help")) {
		fputs(overview, stdout);
		return 0;
	}
	return cli_main(2, usage);
}
