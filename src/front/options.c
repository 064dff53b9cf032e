// SPDX-License-Identifier: Apache-2.0
/*
 * options: the table of criu's options, each with what it fills in. The words of a command line and the
 * lines of a configuration file go through the same parser, in any order, long names abbreviated,
 * --opt=v or --opt v.
 */
#include "front/options.h"

#include "base/list.h"
#include "base/text.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <strings.h>

/* A message of rpc.proto, as its unpacker would make it. */
#define NEW(type, init) \
	({ \
		type *new_ = xalloc(sizeof(*new_)); \
		init(new_); \
		new_; \
	})

/* ---- what an argument may look like ---- */

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

static int wrong(struct take *t, const char *what)
{
	snprintf(t->why, t->n, "--%s %s: %s", t->o->name, t->arg ? t->arg : "", what);
	return -EINVAL;
}

/* same, and usage is shown */
static int wrong_usage(struct take *t, const char *what)
{
	wrong(t, what);
	return 1;
}

static void text_set(char **at, const char *text)
{
	free(*at);
	*at = xstrdup(text);
}

static void *list_add(void ***list, size_t *n, void *item)
{
	*list = xgrow(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = item;
	return item;
}

/* ---- the plain sorts ---- */

static void *in_opts(struct take *t, size_t at)
{
	return (char *)t->q->opts + at;
}

static int take_flag(struct take *t)
{
	*(protobuf_c_boolean *)in_opts(t, t->o->has) = true;
	*(protobuf_c_boolean *)in_opts(t, t->o->at) = t->on;
	return 0;
}

static int take_text(struct take *t)
{
	text_set(in_opts(t, t->o->at), t->arg);
	return 0;
}

static int take_list(struct take *t)
{
	list_add(in_opts(t, t->o->at), in_opts(t, t->o->has), xstrdup(t->arg));
	return 0;
}

static int take_number(struct take *t)
{
	long v;

	if (number(t->arg, 0, INT_MAX, &v) < 0)
		return wrong(t, "is no number");
	*(protobuf_c_boolean *)in_opts(t, t->o->has) = true;
	*(uint32_t *)in_opts(t, t->o->at) = v;
	return 0;
}

static int take_size(struct take *t)
{
	char *end;
	unsigned long long v = strtoull(t->arg, &end, 10);
	const char *unit = *end ? strchr("KMG", *end & ~0x20) : NULL;
	bool bad = end == t->arg || *t->arg == '-' || v > UINT32_MAX || (*end && (!unit || end[1]));

	if (!bad && unit)
		v <<= 10 * (unit - "KMG" + 1);
	if (bad || v > UINT32_MAX)
		return wrong(t, "is no size below 4G");
	*(protobuf_c_boolean *)in_opts(t, t->o->has) = true;
	*(uint32_t *)in_opts(t, t->o->at) = v;
	return 0;
}

static void *in_request(struct take *t, size_t at)
{
	return (char *)t->q + at;
}

static int take_own_flag(struct take *t)
{
	*(bool *)in_request(t, t->o->at) = t->on;
	return 0;
}

static int take_own_text(struct take *t)
{
	text_set(in_request(t, t->o->at), t->arg);
	return 0;
}

static int take_own_list(struct take *t)
{
	*vec_add((struct texts *)in_request(t, t->o->at)) = xstrdup(t->arg);
	return 0;
}

static int take_own_fd(struct take *t)
{
	long v;

	if (number(t->arg, 0, INT_MAX, &v) < 0 || fcntl(v, F_GETFD) < 0)
		return wrong(t, "is no open descriptor");
	*(int *)in_request(t, t->o->at) = v;
	return 0;
}

/* It asks for what is done anyway, or has no meaning here. */
static int take_nothing(struct take *t)
{
	return 0;
}

/* ---- options with a language of their own ---- */

static int take_tree(struct take *t)
{
	long v;

	if (number(t->arg, 1, INT_MAX, &v) < 0)
		return wrong(t, "is no pid");
	t->q->opts->has_pid = true;
	t->q->opts->pid = v;
	return 0;
}

static int take_verbosity(struct take *t)
{
	CriuOpts *o = t->q->opts;
	long level = o->has_log_level ? o->log_level : LOG_WARN;

	if (!t->arg)
		level++;
	else if (*t->arg == 'v' && !t->arg[strspn(t->arg, "v")])
		level += 1 + strlen(t->arg);
	else if (number(t->arg, 0, INT_MAX, &level) < 0)
		return wrong(t, "is no level from 0 to 4");
	o->has_log_level = true;
	o->log_level = level;
	return 0;
}

static int take_detached(struct take *t)
{
	t->q->detached = t->q->daemon = t->on;
	return 0;
}

static int take_sibling(struct take *t)
{
	t->q->sibling_asked = t->on;
	return take_flag(t);
}

static int take_port(struct take *t)
{
	return number(t->arg, 1, 65535, &t->q->port) < 0 ? wrong(t, "is no port") : 0;
}

static int take_close(struct take *t)
{
	long v;

	if (number(t->arg, 0, INT_MAX, &v) < 0)
		return wrong(t, "is no descriptor");
	if (close(v) < 0)
		return wrong(t, strerror(errno));
	return 0;
}

/* fd[N]:KEY; debug[N]:TEXT writes TEXT, to see which descriptor is meant */
static int take_inherit_fd(struct take *t)
{
	bool debug = text_starts(t->arg, "debug[");
	const char *p = t->arg + (debug ? 6 : 3);
	long v = 0;
	char *end;
	InheritFd *f;

	if (!debug && !text_starts(t->arg, "fd["))
		return wrong(t, "is not fd[N]:KEY");
	errno = 0;
	v = strtol(p, &end, 10);
	if (errno || end == p || strncmp(end, "]:", 2) || v < 0 || v > INT_MAX)
		return wrong(t, "is not fd[N]:KEY");
	if (fcntl(v, F_GETFD) < 0)
		return wrong(t, "this descriptor is not open");
	if (debug)
		return fd_write_all(v, end + 2, strlen(end + 2)) < 0 ? wrong(t, strerror(errno)) : 0;
	f = NEW(InheritFd, inherit_fd__init);
	f->fd = v;
	f->key = xstrdup(end + 2);
	list_add((void ***)&t->q->opts->inherit_fd, &t->q->opts->n_inherit_fd, f);
	t->q->inherit_asked = true;
	return 0;
}

static int take_ext_mount(struct take *t)
{
	const char *colon = strchr(t->arg, ':');
	ExtMountMap *m;

	if (!strcmp(t->arg, "auto")) {
		t->q->opts->has_auto_ext_mnt = t->q->opts->auto_ext_mnt = true;
		return 0;
	}
	if (!colon)
		return wrong(t, "is not KEY:VALUE, nor auto");
	m = NEW(ExtMountMap, ext_mount_map__init);
	m->key = xprintf("%.*s", (int)(colon - t->arg), t->arg);
	m->val = xstrdup(colon + 1);
	list_add((void ***)&t->q->opts->ext_mnt, &t->q->opts->n_ext_mnt, m);
	return 0;
}

static int take_veth(struct take *t)
{
	const char *eq = strchr(t->arg, '=');
	CriuVethPair *v;

	if (!eq)
		return wrong(t, "is not IN=OUT");
	v = NEW(CriuVethPair, criu_veth_pair__init);
	v->if_in = xprintf("%.*s", (int)(eq - t->arg), t->arg);
	v->if_out = xstrdup(eq + 1);
	list_add((void ***)&t->q->opts->veths, &t->q->opts->n_veths, v);
	return 0;
}

static int take_unix(struct take *t)
{
	CriuOpts *o = t->q->opts;
	own_mem char *list = t->arg ? xstrdup(t->arg) : NULL;
	char *save = NULL;

	o->has_ext_unix_sk = o->ext_unix_sk = true;
	for (char *w = list ? strtok_r(list, ",", &save) : NULL; w; w = strtok_r(NULL, ",", &save)) {
		UnixSk *u;
		char *end;
		unsigned long long v;

		errno = 0;
		v = strtoull(w, &end, 0);
		if (errno || *end || end == w || !v || v > UINT32_MAX || *w == '-')
			return wrong(t, "is no list of inodes");
		u = NEW(UnixSk, unix_sk__init);
		u->inode = v;
		list_add((void ***)&o->unix_sk_ino, &o->n_unix_sk_ino, u);
	}
	return 0;
}

static int take_manage_cgroups(struct take *t)
{
	static const char *const names[] = { "ignore", "none", "props", "soft", "full", "strict" };
	CriuOpts *o = t->q->opts;

	o->has_manage_cgroups = o->has_manage_cgroups_mode = true;
	o->manage_cgroups = true;
	o->manage_cgroups_mode = CRIU_CG_MODE__SOFT;
	if (!t->arg)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(t->arg, names[i])) {
			o->manage_cgroups_mode = i; /* CRIU_CG_MODE__IGNORE... in that order */
			return 0;
		}
	return wrong_usage(t, "is none of ignore, none, props, soft, full, strict");
}

static void cg_root_add(CriuOpts *o, const char *ctrl, const char *path)
{
	CgroupRoot *r = NEW(CgroupRoot, cgroup_root__init);

	r->ctrl = ctrl ? xstrdup(ctrl) : NULL;
	r->path = xstrdup(path);
	list_add((void ***)&o->cg_root, &o->n_cg_root, r);
}

/* [ctl[,ctl...]:]/path; an empty ctl is cgroup v2 */
static int take_cgroup_root(struct take *t)
{
	own_mem char *list = xstrdup(t->arg);
	char *path = strstr(list, ":/"), *ctl = list, *comma;

	if (*list == '/') {
		cg_root_add(t->q->opts, NULL, list);
		return 0;
	}
	if (!path)
		return wrong(t, "is not [CONTROLLER[,CONTROLLER]:]/PATH");
	*path++ = 0;
	do {
		comma = strchr(ctl, ',');
		if (comma)
			*comma = 0;
		cg_root_add(t->q->opts, ctl, path);
		ctl = comma + 1;
	} while (comma);
	return 0;
}

/* Bits of cpu_cap: fpu 1, cpu 2, ins 4; "^" takes the names behind it away. */
static int take_cpu_cap(struct take *t)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} caps[] = { { "fpu", 1 }, { "cpu", 2 }, { "ins", 4 }, { "all", 7 }, { "none", 0 } };
	own_mem char *list = xstrdup(t->arg ? t->arg : "all");
	uint32_t v = 0;
	bool inverse = false;
	char *save = NULL;

	for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		if (*w == '^') {
			inverse = true;
			v = w == list ? 7 : v;
			w++;
		}
		while (i < ARRAY_SIZE(caps) && strcmp(w, caps[i].name))
			i++;
		if (i == ARRAY_SIZE(caps))
			return wrong_usage(t, "is none of cpu, fpu, ins, all, none");
		v = inverse ? v & ~caps[i].bits : caps[i].bits ? v | caps[i].bits : 0;
	}
	t->q->opts->has_cpu_cap = true;
	t->q->opts->cpu_cap = v;
	return 0;
}

static int take_network_lock(struct take *t)
{
	static const struct {
		const char *name;
		CriuNetworkLockMethod v;
	} ways[] = {
		{ "iptables", CRIU_NETWORK_LOCK_METHOD__IPTABLES },
		{ "nftables", CRIU_NETWORK_LOCK_METHOD__NFTABLES },
		{ "skip", CRIU_NETWORK_LOCK_METHOD__SKIP },
		{ "none", CRIU_NETWORK_LOCK_METHOD__SKIP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (!strcmp(t->arg, ways[i].name)) {
			t->q->opts->has_network_lock = true;
			t->q->opts->network_lock = ways[i].v;
			return 0;
		}
	return wrong(t, "is none of iptables, nftables, skip");
}

static int take_pre_dump_mode(struct take *t)
{
	t->q->opts->has_pre_dump_mode = true;
	if (!strcmp(t->arg, "read"))
		t->q->opts->pre_dump_mode = CRIU_PRE_DUMP_MODE__VM_READ;
	else if (!strcmp(t->arg, "splice"))
		t->q->opts->pre_dump_mode = CRIU_PRE_DUMP_MODE__SPLICE;
	else
		return wrong(t, "is neither splice nor read");
	return 0;
}

static int take_file_validation(struct take *t)
{
	bool size_only = !strcmp(t->arg, "filesize");

	if (!size_only && strcmp(t->arg, "buildid"))
		return wrong_usage(t, "is neither filesize nor buildid");
	t->q->opts->has_file_size_only = true;
	t->q->opts->file_size_only = size_only;
	return 0;
}

static int take_empty_ns(struct take *t)
{
	if (strcmp(t->arg, "net"))
		return wrong(t, "only net can be left empty");
	t->q->opts->has_empty_ns = true;
	t->q->opts->empty_ns |= CLONE_NEWNET;
	return 0;
}

/* NS:{PID|FILE}[,EXTRA] */
static int take_join_ns(struct take *t)
{
	const char *colon = strchr(t->arg, ':'), *comma;
	size_t n = colon ? colon - t->arg : 0;
	JoinNamespace *j;

	if (!colon || !colon[1] || !join_ns_known(t->arg, n))
		return wrong(t, "is not NS:PID or NS:FILE with NS one of net, uts, time, ipc, user, mnt");
	comma = strchr(colon, ',');
	j = NEW(JoinNamespace, join_namespace__init);
	j->ns = xprintf("%.*s", (int)n, t->arg);
	j->ns_file = comma ? xprintf("%.*s", (int)(comma - colon - 1), colon + 1) : xstrdup(colon + 1);
	j->extra_opt = comma ? xstrdup(comma + 1) : NULL;
	list_add((void ***)&t->q->opts->join_ns, &t->q->opts->n_join_ns, j);
	return 0;
}

static int take_enable_fs(struct take *t)
{
	own_mem char *list = xstrdup(t->arg);
	char *save = NULL;

	for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save))
		list_add((void ***)&t->q->opts->enable_fs, &t->q->opts->n_enable_fs, xstrdup(w));
	return 0;
}

static int take_compat(struct take *t)
{
	t->q->compat_asked = true;
	return take_flag(t);
}

static int take_all(struct take *t)
{
	t->q->extra = t->q->experimental = true;
	return 0;
}

static int take_removed(struct take *t)
{
	return wrong(t, "has been removed; leave it out");
}

/* ---- the table ---- */

#define AT(f) offsetof(CriuOpts, f)
#define MY(f) offsetof(struct request, f)
#define FLAG(n, l, f) { n, l, no_argument, true, take_flag, AT(has_##f), AT(f) }
#define FLAG1(n, l, f) { n, l, no_argument, false, take_flag, AT(has_##f), AT(f) }
#define TEXT(n, l, f) { n, l, required_argument, false, take_text, 0, AT(f) }
#define LIST(n, f) { n, 0, required_argument, false, take_list, AT(n_##f), AT(f) }
#define OWN(n, l, f) { n, l, no_argument, true, take_own_flag, 0, MY(f) }
#define OWN_TEXT(n, l, f) { n, l, required_argument, false, take_own_text, 0, MY(f) }
#define BY(n, l, a, fn) { n, l, a##_argument, false, fn, 0, 0 }
#define NOTHING(n) { n, 0, no_argument, true, take_nothing, 0, 0 }

static const struct opt options[] = {
	BY("tree", 't', required, take_tree),
	FLAG1("leave-stopped", 's', leave_stopped),
	FLAG1("leave-running", 'R', leave_running),
	{ "restore-detached", 'd', no_argument, true, take_detached, 0, 0 },
	{ "daemon", 0, no_argument, true, take_detached, 0, 0 },
	{ "restore-sibling", 'S', no_argument, true, take_sibling, AT(has_rst_sibling), AT(rst_sibling) },
	OWN_TEXT("images-dir", 'D', images_dir),
	OWN_TEXT("work-dir", 'W', work_dir),
	TEXT("prev-images-dir", 0, parent_img),
	TEXT("log-file", 'o', log_file),
	OWN("log-pid", 0, log_pid),
	BY("verbosity", 'v', optional, take_verbosity),
	OWN_TEXT("pidfile", 0, pidfile),
	FLAG("display-stats", 0, display_stats),
	TEXT("root", 'r', root),
	BY("pre-dump-mode", 0, required, take_pre_dump_mode),
	FLAG("track-mem", 0, track_mem),
	FLAG("auto-dedup", 0, auto_dedup),
	OWN("page-server", 0, page_server),
	OWN_TEXT("address", 0, address),
	BY("port", 0, required, take_port),
	{ "ps-socket", 0, required_argument, false, take_own_fd, 0, MY(ps_fd) },
	{ "status-fd", 0, required_argument, false, take_own_fd, 0, MY(status_fd) },
	FLAG1("lazy-pages", 0, lazy_pages),
	OWN("stream", 0, stream),
	FLAG("tls", 0, tls),
	TEXT("tls-cacert", 0, tls_cacert),
	TEXT("tls-cacrl", 0, tls_cacrl),
	TEXT("tls-cert", 0, tls_cert),
	TEXT("tls-key", 0, tls_key),
	FLAG("tls-no-cn-verify", 0, tls_no_cn_verify),
	LIST("external", external),
	LIST("address-map", address_map),
	LIST("address-policy", address_policy),
	BY("inherit-fd", 0, required, take_inherit_fd),
	BY("ext-mount-map", 'M', required, take_ext_mount),
	FLAG1("enable-external-sharing", 0, ext_sharing),
	FLAG1("enable-external-masters", 0, ext_masters),
	LIST("skip-mnt", skip_mnt),
	BY("enable-fs", 0, required, take_enable_fs),
	BY("veth-pair", 0, required, take_veth),
	BY("ext-unix-sk", 'x', optional, take_unix),
	FLAG("tcp-established", 0, tcp_established),
	FLAG("tcp-close", 0, tcp_close),
	FLAG("skip-in-flight", 0, tcp_skip_in_flight),
	FLAG("shell-job", 'j', shell_job),
	FLAG("file-locks", 'l', file_locks),
	FLAG("link-remap", 0, link_remap),
	{ "ghost-limit", 0, required_argument, false, take_size, AT(has_ghost_limit), AT(ghost_limit) },
	NOTHING("ghost-fiemap"),
	FLAG("evasive-devices", 0, evasive_devices),
	FLAG("force-irmap", 0, force_irmap),
	LIST("irmap-scan-path", irmap_scan_paths),
	{ "action-script", 0, required_argument, false, take_own_list, 0, MY(scripts) },
	OWN_TEXT("libdir", 'L', libdir),
	BY("cpu-cap", 0, optional, take_cpu_cap),
	OWN("exec-cmd", 0, exec_cmd),
	TEXT("freeze-cgroup", 0, freeze_cgroup),
	BY("manage-cgroups", 0, optional, take_manage_cgroups),
	BY("cgroup-root", 0, required, take_cgroup_root),
	TEXT("cgroup-props", 0, cgroup_props),
	TEXT("cgroup-props-file", 0, cgroup_props_file),
	LIST("cgroup-dump-controller", cgroup_dump_controller),
	TEXT("cgroup-yard", 0, cgroup_yard),
	TEXT("lsm-profile", 0, lsm_profile),
	TEXT("lsm-mount-context", 0, lsm_mount_context),
	BY("join-ns", 'J', required, take_join_ns),
	BY("empty-ns", 0, required, take_empty_ns),
	BY("network-lock", 0, required, take_network_lock),
	BY("file-validation", 0, required, take_file_validation),
	FLAG("skip-file-rwx-check", 0, skip_file_rwx_check),
	{ "timeout", 0, required_argument, false, take_number, AT(has_timeout), AT(timeout) },
	FLAG("weak-sysctls", 0, weak_sysctls),
	{ "mntns-compat-mode", 0, no_argument, true, take_compat, AT(has_mntns_compat_mode),
	  AT(mntns_compat_mode) },
	NOTHING("allow-uprobes"),
	FLAG("unprivileged", 0, unprivileged),
	BY("close", 0, required, take_close),
	{ "feature", 0, required_argument, false, take_own_list, 0, MY(features) },
	OWN("extra", 0, extra),
	OWN("experimental", 0, experimental),
	BY("all", 0, no, take_all),
	OWN("deprecated", 0, deprecated),
	OWN_TEXT("config", 0, config),
	OWN("no-default-config", 0, no_default_config),
	BY("help", 'h', no, take_nothing), /* seen before, by cli_main() */
	BY("version", 'V', no, take_nothing),
	BY("ms", 0, no, take_removed),
};

/* ---- the parser ---- */

#define N (ARRAY_SIZE(options))
#define FIRST_VALUE 1000 /* getopt's val of options[0]; of its --no-NAME N more */

struct words {
	struct option longs[2 * N + 1];
	char negs[N][64];
	char letters[3 * N + 2];
};

static void words_make(struct words *w)
{
	char *p = w->letters;
	size_t k = 0;

	memset(w, 0, sizeof(*w));
	*p++ = ':'; /* we say ourselves what is wrong */
	for (size_t i = 0; i < N; i++) {
		w->longs[k++] = (struct option){ options[i].name, options[i].arg, NULL, FIRST_VALUE + i };
		if (options[i].neg) {
			snprintf(w->negs[i], sizeof(w->negs[i]), "no-%s", options[i].name);
			w->longs[k++] = (struct option){ w->negs[i], no_argument, NULL,
							 FIRST_VALUE + N + i };
		}
		if (!options[i].letter)
			continue;
		*p++ = options[i].letter;
		for (int j = 0; j < options[i].arg; j++)
			*p++ = ':';
	}
}

/* getopt's answer as one of the table's rows */
static const struct opt *row_of(int v, bool *on)
{
	*on = v < FIRST_VALUE + (int)N;
	if (v >= FIRST_VALUE)
		return &options[(v - FIRST_VALUE) % N];
	for (size_t i = 0; i < N; i++)
		if (options[i].letter && options[i].letter == v)
			return &options[i];
	return NULL;
}

static bool ambiguous(const char *word)
{
	size_t found = 0;

	for (size_t i = 0; i < N; i++)
		found += text_starts(word, "--") && text_starts(options[i].name, word + 2);
	return found > 1;
}

int options_parse(struct request *q, int argc, char **argv, int *first, char *why, size_t n)
{
	own_mem struct words *w = xalloc(sizeof(*w));
	int v, r = 0;

	words_make(w);
	optind = 0; /* glibc: start anew */
	while (r == 0 && (v = getopt_long(argc, argv, w->letters, w->longs, NULL)) != -1) {
		bool on;
		const struct opt *o = v == '?' || v == ':' ? NULL : row_of(v, &on);
		struct take t = { q, o, optarg, o && on, why, n };

		if (o) {
			r = o->take(&t);
			continue;
		}
		if (v == '?' && optopt < FIRST_VALUE)
			q->unknown = argv[optind - 1];
		snprintf(why, n, "%s: %s", argv[optind - 1],
			 v == ':'   ? "its value is missing"
			 : q->unknown ? (ambiguous(q->unknown) ? "may be short for several options" : "there is no such option")
				      : "takes no value");
		r = 1;
	}
	*first = optind;
	return r;
}

void options_near(struct near *s)
{
	for (size_t i = 0; i < N; i++)
		near_try(s, options[i].name);
}

const char *options_operand(int argc, char **argv, int which)
{
	own_mem struct words *w = xalloc(sizeof(*w));
	own_mem char **copy = xmemdup(argv, (argc + 1) * sizeof(*argv)); /* getopt moves them */

	words_make(w);
	optind = 0;
	while (getopt_long(argc, copy, w->letters, w->longs, NULL) != -1)
		;
	return optind + which < argc ? copy[optind + which] : NULL;
}

void options_early(struct request *q, int argc, char **argv)
{
	own_mem struct words *w = xalloc(sizeof(*w));
	own_mem char **copy = xmemdup(argv, (argc + 1) * sizeof(*argv)); /* getopt moves them */
	int v;

	words_make(w);
	optind = 0;
	while ((v = getopt_long(argc, copy, w->letters, w->longs, NULL)) != -1) {
		bool on;
		const struct opt *o = v == '?' || v == ':' ? NULL : row_of(v, &on);
		struct take t = { q, o, optarg, o && on, NULL, 0 };

		if (o && (!strcmp(o->name, "config") || !strcmp(o->name, "no-default-config")))
			o->take(&t);
	}
}
