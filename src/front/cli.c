// SPDX-License-Identifier: Apache-2.0
/* cli: criu's command line: options and command in any order, long names abbreviated, --opt=v or --opt v. */
#include "front/request.h"

#include "base/res.h"

#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum opt_sort {
	O_FLAG,	  /* bool of the opts */
	O_TEXT,	  /* string of the opts */
	O_NUMBER, /* uint32 of the opts */
	O_SIZE,	  /* same, with K, M or G behind it */
	O_LIST,	  /* repeated string of the opts */
	O_OWN,	  /* handled by name in own_option() */
	O_NOTHING, /* accepted: it asks for what is done anyway, or has no meaning here */
	O_LATER,   /* known, not built yet: refused when used */
};

struct opt {
	const char *name;
	char letter;
	int arg; /* no_argument... */
	enum opt_sort sort;
	size_t has, at; /* offsets in CriuOpts */
};

#define FLAG(n, l, f) { n, l, no_argument, O_FLAG, offsetof(CriuOpts, has_##f), offsetof(CriuOpts, f) }
#define LATER(n, l, a) { n, l, a, O_LATER, 0, 0 }
#define OWN(n, l, a) { n, l, a, O_OWN, 0, 0 }

static const struct opt opts[] = {
	OWN("tree", 't', required_argument),
	OWN("images-dir", 'D', required_argument),
	OWN("work-dir", 'W', required_argument),
	OWN("log-file", 'o', required_argument),
	OWN("verbosity", 'v', optional_argument),
	OWN("pidfile", 0, required_argument),
	OWN("restore-detached", 'd', no_argument),
	OWN("daemon", 0, no_argument),
	OWN("help", 'h', no_argument),
	OWN("version", 'V', no_argument),
	FLAG("leave-running", 'R', leave_running),
	FLAG("leave-stopped", 's', leave_stopped),
	FLAG("restore-sibling", 'S', rst_sibling),
	FLAG("shell-job", 'j', shell_job),
	FLAG("tcp-established", 0, tcp_established),
	FLAG("tcp-close", 0, tcp_close),
	FLAG("skip-in-flight", 0, tcp_skip_in_flight),
	FLAG("evasive-devices", 0, evasive_devices),
	FLAG("link-remap", 0, link_remap),
	FLAG("file-locks", 'l', file_locks),
	FLAG("skip-file-rwx-check", 0, skip_file_rwx_check),
	FLAG("weak-sysctls", 0, weak_sysctls),
	FLAG("display-stats", 0, display_stats),
	{ "freeze-cgroup", 0, required_argument, O_TEXT, 0, offsetof(CriuOpts, freeze_cgroup) },
	{ "root", 'r', required_argument, O_TEXT, 0, offsetof(CriuOpts, root) },
	{ "timeout", 0, required_argument, O_NUMBER, offsetof(CriuOpts, has_timeout),
	  offsetof(CriuOpts, timeout) },
	{ "external", 0, required_argument, O_LIST, offsetof(CriuOpts, n_external),
	  offsetof(CriuOpts, external) },
	FLAG("force-irmap", 0, force_irmap),
	{ "irmap-scan-path", 0, required_argument, O_LIST, offsetof(CriuOpts, n_irmap_scan_paths),
	  offsetof(CriuOpts, irmap_scan_paths) },
	{ "ghost-limit", 0, required_argument, O_SIZE, offsetof(CriuOpts, has_ghost_limit),
	  offsetof(CriuOpts, ghost_limit) },
	{ "log-pid", 0, no_argument, O_NOTHING, 0, 0 },
	{ "no-default-config", 0, no_argument, O_NOTHING, 0, 0 },
	{ "network-lock", 0, required_argument, O_NOTHING, 0, 0 },
	{ "manage-cgroups", 0, optional_argument, O_NOTHING, 0, 0 },
	{ "cpu-cap", 0, optional_argument, O_NOTHING, 0, 0 },
	{ "mntns-compat-mode", 0, no_argument, O_NOTHING, 0, 0 },
	{ "ghost-fiemap", 0, no_argument, O_NOTHING, 0, 0 },
	LATER("ext-unix-sk", 'x', optional_argument),
	LATER("track-mem", 0, no_argument),
	LATER("auto-dedup", 0, no_argument),
	LATER("prev-images-dir", 0, required_argument),
	LATER("page-server", 0, no_argument),
	LATER("address", 0, required_argument),
	LATER("port", 0, required_argument),
	LATER("ps-socket", 0, required_argument),
	LATER("status-fd", 0, required_argument),
	LATER("lazy-pages", 0, no_argument),
	LATER("pre-dump-mode", 0, required_argument),
	LATER("stream", 0, no_argument),
	LATER("tls", 0, no_argument),
	LATER("inherit-fd", 0, required_argument),
	LATER("ext-mount-map", 'M', required_argument),
	LATER("enable-external-sharing", 0, no_argument),
	LATER("enable-external-masters", 0, no_argument),
	LATER("skip-mnt", 0, required_argument),
	LATER("enable-fs", 0, required_argument),
	LATER("veth-pair", 0, required_argument),
	LATER("action-script", 0, required_argument),
	LATER("libdir", 'L', required_argument),
	LATER("exec-cmd", 0, no_argument),
	LATER("cgroup-root", 0, required_argument),
	LATER("cgroup-props", 0, required_argument),
	LATER("cgroup-props-file", 0, required_argument),
	LATER("cgroup-dump-controller", 0, required_argument),
	LATER("cgroup-yard", 0, required_argument),
	LATER("lsm-profile", 0, required_argument),
	LATER("lsm-mount-context", 0, required_argument),
	LATER("join-ns", 'J', required_argument),
	LATER("empty-ns", 0, required_argument),
	LATER("file-validation", 0, required_argument),
	LATER("allow-uprobes", 0, no_argument),
	LATER("unprivileged", 0, no_argument),
	LATER("feature", 0, required_argument),
	LATER("config", 0, required_argument),
};

#define FIRST_VALUE 1000 /* getopt's val of opts[0] */

static void usage(FILE *f)
{
	fputs("Usage: stasis dump    -t PID -D DIR [options]   checkpoint the tree of tasks whose root is PID\n"
	      "       stasis restore -D DIR [options]          bring back what DIR holds\n"
	      "       stasis swrk FD                           serve criu's RPC on a socket\n"
	      "\n"
	      "The same program answers as criu 4.2 when it is called criu.\n"
	      "\n"
	      "  -t, --tree PID           root of the tree to dump\n"
	      "  -D, --images-dir DIR     where the images are (default: here)\n"
	      "  -W, --work-dir DIR       where log, pidfile and statistics go (default: the images)\n"
	      "  -R, --leave-running      dump: let the tasks go on; else they are ended\n"
	      "  -s, --leave-stopped      leave the tasks stopped (SIGSTOP)\n"
	      "  -d, --restore-detached   restore: return when the tasks run; else wait for them\n"
	      "  -o, --log-file FILE      write the log there (-: standard output)\n"
	      "  -v[N], --verbosity=N     1 errors, 2 warnings, 3 steps, 4 every object\n"
	      "      --pidfile FILE       restore: write the root's pid there\n"
	      "  -l, --file-locks         keep locks on files\n"
	      "      --freeze-cgroup DIR  stop the tasks by this freezer cgroup\n"
	      "      --timeout SECONDS    give up stopping after that time (default 10)\n"
	      "  -h, --help  -V, --version\n"
	      "\n"
	      "stasis(8) says more.\n",
	      f);
}

struct cli {
	struct request q;
	const char *command, *operand;
	const char *later; /* first option that is known but not built yet */
	bool done;	   /* help or version was shown */
};

static int number(const char *text, long min, long max, long *ret)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || *end || end == text || v < min || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int own_option(struct cli *c, const char *name, const char *arg)
{
	long v;

	if (!strcmp(name, "tree")) {
		if (number(arg, 1, INT_MAX, &v) < 0) {
			fprintf(stderr, "stasis: --tree %s: is no pid\n", arg);
			return -EINVAL;
		}
		c->q.opts.has_pid = true;
		c->q.opts.pid = v;
	} else if (!strcmp(name, "images-dir")) {
		c->q.images_dir = arg;
	} else if (!strcmp(name, "work-dir")) {
		c->q.work_dir = arg;
	} else if (!strcmp(name, "log-file")) {
		c->q.log_file = arg;
	} else if (!strcmp(name, "pidfile")) {
		c->q.pidfile = arg;
	} else if (!strcmp(name, "restore-detached") || !strcmp(name, "daemon")) {
		c->q.detached = true;
	} else if (!strcmp(name, "help")) {
		usage(stdout);
		c->done = true;
	} else if (!strcmp(name, "version")) {
		puts("Version: 4.2");
		c->done = true;
	} else if (!strcmp(name, "verbosity")) {
		int level = c->q.opts.has_log_level ? c->q.opts.log_level : LOG_WARN;

		if (!arg)
			level++;
		else if (*arg == 'v')
			level += 1 + strspn(arg, "v");
		else if (number(arg, 0, 4, &v) == 0)
			level = v;
		else {
			fprintf(stderr, "stasis: --verbosity %s: is not 0 to 4\n", arg);
			return -EINVAL;
		}
		c->q.opts.has_log_level = true;
		c->q.opts.log_level = level;
	}
	return 0;
}

static int take_option(struct cli *c, const struct opt *o, char *arg)
{
	char *base = (char *)&c->q.opts;
	long v;

	switch (o->sort) {
	case O_FLAG:
		*(protobuf_c_boolean *)(base + o->has) = 1;
		*(protobuf_c_boolean *)(base + o->at) = 1;
		break;
	case O_TEXT:
		*(char **)(base + o->at) = arg;
		break;
	case O_NUMBER:
		if (number(arg, 0, INT_MAX, &v) < 0) {
			fprintf(stderr, "stasis: --%s %s: is no number\n", o->name, arg);
			return -EINVAL;
		}
		*(protobuf_c_boolean *)(base + o->has) = 1;
		*(uint32_t *)(base + o->at) = v;
		break;
	case O_SIZE: {
		char *end;
		unsigned long long n = strtoull(arg, &end, 10);
		const char *unit = strchr("KMG", *end & ~0x20);

		if (*end && unit && !end[1] && n <= UINT32_MAX)
			n <<= 10 * (unit - "KMG" + 1);
		if (end == arg || (*end && (!unit || end[1])) || n > UINT32_MAX) {
			fprintf(stderr, "stasis: --%s %s: is no size below 4G\n", o->name, arg);
			return -EINVAL;
		}
		*(protobuf_c_boolean *)(base + o->has) = 1;
		*(uint32_t *)(base + o->at) = n;
		break;
	}
	case O_LIST: {
		size_t *n = (size_t *)(base + o->has);
		char ***list = (char ***)(base + o->at);

		*list = xgrow(*list, (*n + 1) * sizeof(**list));
		(*list)[(*n)++] = arg;
		break;
	}
	case O_OWN:
		return own_option(c, o->name, arg);
	case O_NOTHING:
		break;
	case O_LATER:
		if (!c->later)
			c->later = o->name;
		break;
	}
	return 0;
}

static int parse(struct cli *c, int argc, char **argv)
{
	const size_t n = ARRAY_SIZE(opts);
	own_mem struct option *longs = xalloc((n + 1) * sizeof(*longs));
	char letters[3 * ARRAY_SIZE(opts) + 1], *p = letters;
	int v, r = 0;

	for (size_t i = 0; i < n; i++) {
		longs[i] = (struct option){ opts[i].name, opts[i].arg, NULL, FIRST_VALUE + i };
		if (!opts[i].letter)
			continue;
		*p++ = opts[i].letter;
		for (int k = 0; k < opts[i].arg; k++)
			*p++ = ':';
	}
	*p = 0;
	while (r == 0 && !c->done && (v = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct opt *o = v >= FIRST_VALUE ? &opts[v - FIRST_VALUE] : NULL;

		for (size_t i = 0; !o && v != '?' && i < n; i++)
			if (opts[i].letter == v)
				o = &opts[i];
		r = o ? take_option(c, o, optarg) : -EINVAL;
	}
	if (r < 0 || c->done)
		return r;
	c->command = optind < argc ? argv[optind++] : NULL;
	c->operand = optind < argc ? argv[optind++] : NULL;
	if (!c->command) {
		fprintf(stderr, "stasis: no command is given\n");
		return -EINVAL;
	}
	if (optind < argc || (c->operand && strcmp(c->command, "swrk"))) {
		fprintf(stderr, "stasis: %s: is one word too many\n", argv[optind - 1]);
		return -EINVAL;
	}
	return 0;
}

static int wait_children(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}

static int do_restore(struct cli *c, char *why, size_t n)
{
	pid_t root = 0;
	int r;

	if (!c->q.detached)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* to see the last of the tree end */
	r = request_restore(&c->q, &root, why, n);
	if (r == 0 && !c->q.detached)
		wait_children();
	return r;
}

int cli_main(int argc, char **argv)
{
	struct cli c = { .q = REQUEST_INIT };
	char why[1100] = "";
	long fd;
	int r = parse(&c, argc, argv);

	if (r < 0) {
		usage(stdout);
		return 1;
	}
	if (c.done)
		return 0;
	if (!strcmp(c.command, "swrk")) {
		if (!c.operand || number(c.operand, 0, INT_MAX, &fd) < 0) {
			fprintf(stderr, "Usage: criu swrk <fd>\n");
			return 1;
		}
		return rpc_serve(fd);
	}
	if (c.later) {
		fprintf(stderr, "stasis: --%s is not supported yet; nothing was done\n", c.later);
		return 1;
	}
	if (!strcmp(c.command, "dump")) {
		if (!c.q.opts.has_pid) {
			fprintf(stderr, "stasis: dump: which tree? give its root with -t PID\n");
			return 1;
		}
		r = request_dump(&c.q, why, sizeof(why));
	} else if (!strcmp(c.command, "restore")) {
		r = do_restore(&c, why, sizeof(why));
	} else if (!strcmp(c.command, "check")) {
		fprintf(stderr, "stasis: check is not supported yet\n");
		return 1;
	} else {
		fprintf(stderr, "stasis: there is no command %s\n", c.command);
		usage(stdout);
		return 1;
	}
	if (r < 0 && c.q.log_file)
		fprintf(stderr, "Error (stasis): %s\n", why);
	else if (r < 0 && c.q.images < 0)
		fprintf(stderr, "Error (stasis): %s\n", why);
	request_close(&c.q);
	free(c.q.opts.external);
	return r < 0 ? 1 : 0;
}
