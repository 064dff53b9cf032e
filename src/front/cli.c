// SPDX-License-Identifier: Apache-2.0
/* cli: criu's commands. The words are in options.c, the work in request.c. */
#include "front/check.h"
#include "front/options.h"

#include "base/res.h"
#include "base/text.h"

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ENOTSUP_STATUS (-ENOTSUP & 0xff) /* cpuinfo check: not here */

static const char *const commands[] = { "dump", "restore", "check", "cpuinfo", "service", "swrk", "pre-dump", "lazy-pages",
					"page-server", "dedup", "exec", "show" };

/* What is wrong with a command line is said behind it, as a terminal shows the end. */
static void usage(void)
{
	fputs("Usage: stasis dump    -t PID -D DIR [options]   checkpoint the tree of tasks whose root is PID\n"
	      "       stasis restore -D DIR [options]          bring back what DIR holds\n"
	      "       stasis check [--feature NAME]            can this system do it?\n"
	      "       stasis cpuinfo dump|check -D DIR         note the processor; is this one as good?\n"
	      "       stasis service [--address PATH]          serve criu's RPC on a socket at PATH\n"
	      "       stasis swrk FD                           serve criu's RPC on an inherited socket\n"
	      "\n"
	      "The same program answers as criu 4.2 when it is called criu.\n"
	      "\n"
	      "  -t, --tree PID           root of the tree to dump\n"
	      "  -D, --images-dir DIR     where the images are (default: here)\n"
	      "  -W, --work-dir DIR       where log, pidfile and statistics go (default: the images)\n"
	      "  -R, --leave-running      dump: let the tasks go on; else they are ended\n"
	      "  -s, --leave-stopped      leave the tasks stopped (SIGSTOP)\n"
	      "  -d, --restore-detached   restore: return when the tasks run; else wait for them\n"
	      "  -S, --restore-sibling    with -d: the root task becomes a child of the caller\n"
	      "  -o, --log-file FILE      write the log there (-: standard output)\n"
	      "  -v[N], --verbosity=N     1 errors, 2 warnings, 3 steps, 4 every object\n"
	      "      --pidfile FILE       write the root's pid (restore) or the service's there\n"
	      "      --display-stats      print the figures of the job\n"
	      "      --config FILE        read options there; --no-default-config: not from the usual files\n"
	      "      --action-script PATH run it at every step\n"
	      "      --exec-cmd -- CMD... restore: become CMD when the tasks run\n"
	      "      --freeze-cgroup DIR  stop the tasks by this freezer cgroup\n"
	      "      --timeout SECONDS    give up stopping after that time (default 10)\n"
	      "\n"
	      "What may reach outside of the tree:\n"
	      "  -r, --root DIR           root directory of the container\n"
	      "      --external KEY       mnt[..]:.., net[..]:.., pid[..]:.., file[..], unix[..] and others\n"
	      "      --inherit-fd fd[N]:KEY   restore: use our descriptor N for KEY\n"
	      "  -J, --join-ns NS:FILE    restore: into that namespace\n"
	      "      --empty-ns net       leave the contents of the network namespace alone\n"
	      "  -x, --ext-unix-sk[=INO]  unix sockets may be connected to the outside\n"
	      "      --tcp-established, --tcp-close, --skip-in-flight\n"
	      "      --address-map OLD=NEW,...  restore: sockets of an address that is another now\n"
	      "      --address-policy [ADDRESS[:PORT]=]keep|close|reset,...  sockets of one that is gone\n"
	      "  -l, --file-locks  -j, --shell-job  --link-remap  --ghost-limit SIZE[K|M|G]\n"
	      "      --manage-cgroups[=none|props|soft|full|strict|ignore]\n"
	      "      --cgroup-root [CTL:]/PATH\n"
	      "  -h, --help  -V, --version\n"
	      "\n"
	      "stasis(8) says more.\n",
	      stdout);
	fflush(stdout);
}

static int wait_children(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}

/* Reasons that belong into the log are there; on the terminal they must not be missed either. */
static int finish(const struct request *q, int r, const char *why)
{
	const char *log = q->opts->log_file;

	if (r < 0 && (log || q->images < 0 || q->work < 0))
		fprintf(stderr, "Error (stasis): %s\n", why);
	return r < 0 ? 1 : 0;
}

static int cmd_dump(struct request *q)
{
	char why[WHY_MAX] = "";
	int r;

	if (!q->opts->has_pid) {
		fprintf(stderr, "stasis: dump: which tree? give its root with -t PID\n");
		return 1;
	}
	if (q->inherit_asked) {
		fprintf(stderr, "stasis: --inherit-fd: is for restore only\n");
		return 1;
	}
	r = owner_check(q, q->opts->pid, why, sizeof(why));
	if (r == 0)
		r = request_dump(q, why, sizeof(why));
	if (q->post_dump_failed) {
		finish(q, r, why);
		return 255;
	}
	return finish(q, r, why);
}

static const char *restore_conflict(const struct request *q)
{
	const CriuOpts *o = q->opts;

	if (o->rst_sibling && !q->detached)
		return "--restore-sibling: needs --restore-detached (-d) as well";
	if (q->exec_cmd && q->detached)
		return "--exec-cmd: does not go with --restore-detached, as the command takes our place";
	if (q->exec_cmd && !o->n_exec_cmd)
		return "--exec-cmd: give the command behind --";
	return request_conflict(q);
}

static int cmd_restore(struct request *q)
{
	const char *conflict = restore_conflict(q);
	char why[WHY_MAX] = "";
	pid_t root = 0;
	int r;

	if (conflict) {
		fprintf(stderr, "stasis: %s\n", conflict);
		return 1;
	}
	if (q->opts->has_pid)
		fprintf(stderr, "Warn  (stasis): --tree: a restore takes the pids from the images\n");
	r = owner_become(q, -1, why, sizeof(why));
	if (r < 0)
		return finish(q, r, why);
	if (!q->detached && !q->exec_cmd)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* to see the last of the tree end */
	r = request_restore(q, &root, why, sizeof(why));
	if (r == 0 && q->exec_cmd)
		r = request_exec(q, why, sizeof(why));
	else if (r == 0 && !q->detached)
		wait_children();
	return finish(q, r, why);
}

static int cmd_cpuinfo(struct request *q, const char *what)
{
	char why[WHY_MAX] = "";
	int r = request_cpuinfo(q, !strcmp(what, "check"), why, sizeof(why));

	finish(q, r, why);
	return r == -ENOTSUP ? ENOTSUP_STATUS : r < 0;
}

static int cmd_later(const char *command)
{
	fprintf(stderr, "stasis: %s is not supported yet; nothing was done\n", command);
	return 1;
}

static int cmd_removed(const char *command)
{
	fprintf(stderr, "stasis: %s: has been removed; use %s\n", command,
		strcmp(command, "show") ? "compel" : "crit");
	return 255;
}

static int command_run(struct request *q, const char *command, char **operand)
{
	if (q->compat_asked && strcmp(command, "restore")) {
		fprintf(stderr, "stasis: --mntns-compat-mode: is for restore only\n");
		return 1;
	}
	if (!strcmp(command, "dump"))
		return cmd_dump(q);
	if (!strcmp(command, "restore"))
		return cmd_restore(q);
	if (!strcmp(command, "check"))
		return check_run(q);
	if (!strcmp(command, "service"))
		return service_run(q);
	if (!strcmp(command, "cpuinfo"))
		return cmd_cpuinfo(q, operand[0]);
	return !strcmp(command, "exec") || !strcmp(command, "show") ? cmd_removed(command) : cmd_later(command);
}

static int cmd_swrk(struct request *q, int argc, char **argv)
{
	char *end;
	long fd = argc == 1 ? strtol(argv[0], &end, 10) : -1;

	if (fd < 0 || fd > INT_MAX || *end || end == argv[0]) {
		fprintf(stderr, "Usage: criu swrk <fd>\n");
		return 1;
	}
	return rpc_serve(q, fd, false);
}

/* Words behind the command: those of --exec-cmd, "dump" or "check" of cpuinfo, no others. */
static int operands(struct request *q, const char *command, int argc, char **argv)
{
	CriuOpts *o = q->opts;

	if (q->exec_cmd && !strcmp(command, "restore")) {
		for (int i = 0; i < argc; i++) {
			o->exec_cmd = xgrow(o->exec_cmd, (o->n_exec_cmd + 1) * sizeof(*o->exec_cmd));
			o->exec_cmd[o->n_exec_cmd++] = xstrdup(argv[i]);
		}
		return 0;
	}
	if (!strcmp(command, "cpuinfo") && argc == 1 &&
	    (!strcmp(argv[0], "dump") || !strcmp(argv[0], "check")))
		return 0;
	if (!strcmp(command, "cpuinfo")) {
		usage();
		fprintf(stderr, "stasis: cpuinfo: needs one of dump, check\n");
		return -EINVAL;
	}
	if (argc) {
		usage();
		fprintf(stderr, "stasis: %s: is one word too many\n", argv[0]);
		return -EINVAL;
	}
	return 0;
}

static bool asked(int argc, char **argv, const char *letter, const char *name)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], letter) || !strcmp(argv[i], name))
			return true;
	return false;
}

/* A program made setuid serves whoever starts it, as a service does: see owner.c. */
static void owner_setuid(struct request *q)
{
	q->foreign = geteuid() == 0 && getuid() != 0;
	q->uid = getuid();
	q->gid = getgid();
}

static int cli_parse(struct request *q, int argc, char **argv, int *first)
{
	char why[WHY_MAX] = "";
	int r;

	r = owner_assume(q, -1, why, sizeof(why)); /* before anything is read that the caller names */
	options_early(q, argc, argv);
	if (r == 0)
		r = config_defaults(q, why, sizeof(why));
	if (r == 0)
		r = options_parse(q, argc, argv, first, why, sizeof(why));
	if (r > 0)
		usage();
	if (r != 0)
		fprintf(stderr, "stasis: %s", why);
	if (r > 0 && q->unknown && text_starts(q->unknown, "--")) {
		struct near near = near_start(q->unknown + 2, strcspn(q->unknown + 2, "="));

		options_near(&near);
		if (near_best(&near))
			fprintf(stderr, "; did you mean --%s?", near_best(&near));
	}
	if (r != 0)
		fputs("\n", stderr);
	return r;
}

bool cli_has(const char *command)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i], command))
			return true;
	return false;
}

void cli_near(struct near *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands) && strcmp(commands[i], "exec"); i++)
		near_try(s, commands[i]);
}

static void unknown_command(const char *command)
{
	struct near near = near_start(command, SIZE_MAX);

	cli_near(&near);
	usage();
	fprintf(stderr, "stasis: there is no command %s%s%s%s\n", command, near_best(&near) ? "; did you mean " : "",
		near_best(&near) ? near_best(&near) : "", near_best(&near) ? "?" : "");
}

static int cli_command(struct request *q, int argc, char **argv)
{
	int first, r = cli_parse(q, argc, argv, &first);
	const char *command;

	if (r != 0)
		return 1;
	if (first >= argc) {
		usage();
		fprintf(stderr, "stasis: no command is given\n");
		return 1;
	}
	command = argv[first++];
	if (!cli_has(command)) {
		unknown_command(command);
		return 1;
	}
	if (!strcmp(command, "swrk"))
		return cmd_swrk(q, argc - first, argv + first);
	if (operands(q, command, argc - first, argv + first) < 0)
		return 1;
	return command_run(q, command, argv + first);
}

int cli_main(int argc, char **argv)
{
	struct request q;
	int r;

	if (asked(argc, argv, "-h", "--help")) {
		usage();
		return 0;
	}
	if (asked(argc, argv, "-V", "--version")) {
		puts("Version: 4.2");
		return 0;
	}
	request_init(&q);
	owner_setuid(&q);
	r = cli_command(&q, argc, argv);
	request_close(&q);
	return r;
}
