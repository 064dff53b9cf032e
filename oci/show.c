// SPDX-License-Identifier: Apache-2.0
/* show: what a checkpoint holds, for people and as JSON. */
#include "oci/inspect.h"
#include "oci/people.h"
#include "oci/term.h"

#include "base/list.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

static const char *const type_names[] = { "?", "file", "pipe", "fifo", "inet socket", "unix socket", "eventfd",
					  "epoll", "inotify", "signalfd", "packet socket", "terminal", "fanotify",
					  "netlink socket", "namespace", "tun", "external", "timerfd", "memfd",
					  "bpf map", "pidfd" };

static const char *type_name(unsigned type)
{
	if (type == FD_TYPES__MQUEUE)
		return "message queue";
	return type < ARRAY_SIZE(type_names) ? type_names[type] : "?";
}

static const char *state_name(const struct look_task *t)
{
	uint32_t s = t->core && t->core->tc ? t->core->tc->task_state : 0;

	return s == TASK_ALIVE ? "running" : s == TASK_DEAD ? "zombie" : s == TASK_STOPPED ? "stopped" : "unknown";
}

/* ---- one file as words ---- */

static char *address(const InetSkEntry *k, const uint32_t *words, size_t n, uint32_t port)
{
	char text[INET6_ADDRSTRLEN] = "?";
	size_t want = k->family == AF_INET6 ? 4 : 1;

	if (n >= want)
		inet_ntop(k->family == AF_INET6 ? AF_INET6 : AF_INET, words, text, sizeof(text));
	return k->family == AF_INET6 ? xprintf("[%s]:%u", text, port) : xprintf("%s:%u", text, port);
}

static char *inet_words(const InetSkEntry *k)
{
	static const char *const states[] = { "?", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2",
					      "time-wait", "closed", "close-wait", "last-ack", "listening", "closing" };
	own_mem char *from = address(k, k->src_addr, k->n_src_addr, k->src_port);
	own_mem char *to = address(k, k->dst_addr, k->n_dst_addr, k->dst_port);
	const char *proto = k->proto == IPPROTO_TCP ? "tcp" : k->proto == IPPROTO_UDP ? "udp" :
			    k->proto == IPPROTO_ICMP ? "icmp" : "raw";

	if (k->proto != IPPROTO_TCP)
		return xprintf("%s %s%s%s", proto, from, k->dst_port ? " to " : "", k->dst_port ? to : "");
	return xprintf("tcp %s%s%s %s", from, k->dst_port ? " to " : "", k->dst_port ? to : "",
		       k->state < ARRAY_SIZE(states) ? states[k->state] : "?");
}

static char *unix_words(const UnixSkEntry *k)
{
	const char *type = k->type == 1 ? "stream" : k->type == 2 ? "dgram" : k->type == 5 ? "seqpacket" : "?";
	char name[128] = "";
	size_t n = k->name.len < sizeof(name) - 1 ? k->name.len : sizeof(name) - 1;

	for (size_t i = 0; i < n; i++)
		name[i] = k->name.data[i] ? k->name.data[i] : i ? ' ' : '@';
	name[n] = 0;
	while (n && name[n - 1] == ' ')
		name[--n] = 0;
	return xprintf("unix %s%s%s%s", type, *name ? " " : "", name, k->state == 10 ? " listening" : "");
}

static char *file_words(const FileEntry *f)
{
	if (f->reg)
		return xstrdup(f->reg->name);
	if (f->isk)
		return inet_words(f->isk);
	if (f->usk)
		return unix_words(f->usk);
	if (f->pipe)
		return xprintf("pipe %u, %s end", f->pipe->pipe_id, (f->pipe->flags & 3) == 0 ? "reading" : "writing");
	if (f->fifo)
		return xprintf("fifo %u", f->fifo->pipe_id);
	if (f->efd)
		return xprintf("eventfd, counter %llu", (unsigned long long)f->efd->counter);
	if (f->memfd)
		return xprintf("memfd %u", f->memfd->inode_id);
	if (f->tty)
		return xprintf("terminal %u", f->tty->tty_info_id);
	return xstrdup(type_name(f->type));
}

static bool is_socket(const FileEntry *f)
{
	return f->isk || f->usk || f->psk || f->nlsk;
}

/* ---- for people ---- */

static void head(const char *title)
{
	printf("\n%s%s%s\n", tint(stdout, TINT_BOLD), title, tint(stdout, TINT_NONE));
}

static void field(const char *name, const char *value)
{
	own_mem char *clean = value ? term_clean(value) : NULL;

	if (clean && *clean)
		printf("%-14s%s\n", name, clean);
}

static const char *engine(const struct look *l)
{
	yajl_val a = json_get(l->spec, "annotations");
	const char *m = json_text(a, "io.container.manager");

	if (json_text(l->note, "runtime"))
		return json_text(l->note, "manager");
	return !l->spec ? NULL : m && !strcmp(m, "libpod") ? "podman" : m && !strcmp(m, "cri-o") ? "cri-o" : "containerd";
}

static const char *about(const struct look *l, const char *note_key, const char *config_key)
{
	const char *t = json_text(l->config, config_key);

	return t && *t ? t : json_text(l->note, note_key);
}

static void show_head(const struct look *l)
{
	char size[32], text[64];

	field("Container", about(l, "name", "name"));
	field("Id", about(l, "id", "id"));
	field("Image", about(l, "image", "rootfsImageName"));
	field("Runtime", about(l, "runtime", "runtime"));
	field("Engine", engine(l));
	field("Created", about(l, "created", "createdTime"));
	field("Checkpointed", about(l, "checkpointed", "checkpointedTime"));
	snprintf(text, sizeof(text), "%zu", l->tasks.n);
	field("Tasks", text);
	field("Memory", term_size(l->pages_bytes, size));
	if (l->stats && l->stats->dump) {
		snprintf(text, sizeof(text), "%.1f ms", l->stats->dump->frozen_time / 1000.0);
		field("Stopped for", text);
	}
	if (l->diff_bytes) {
		snprintf(text, sizeof(text), "%s in changed files, %zu deleted", term_size(l->diff_bytes, size),
			 (size_t)l->deleted);
		field("Root", text);
	}
	if (l->n_ns) {
		printf("%-14s", "Namespaces");
		for (size_t i = 0; i < l->n_ns; i++)
			printf("%s%s", i ? " " : "", l->ns[i].name);
		printf("\n");
	}
}

static void show_task(const struct look *l, struct look_task *t, int depth)
{
	char size[32];
	own_mem char *comm = term_clean(look_comm(t)), *args = t->args ? term_clean(t->args) : NULL;
	own_mem char *indent = xprintf("%*s%s", depth * 2, "", comm);

	printf("%7u %-24s %-8s %3zu %10s %4zu  %.100s\n", t->e->pid, indent, state_name(t), t->e->n_threads,
	       term_size(t->pages * PAGE, size), t->fds.n, args ? args : "");
}

/* A tree by ppid; hostile images may have loops, so that each task is shown once. */
static void show_tree(struct look *l, uint32_t ppid, int depth)
{
	for (size_t i = 0; i < l->tasks.n; i++) {
		struct look_task *t = &l->tasks.v[i];

		if (t->shown || t->e->ppid != ppid)
			continue;
		t->shown = true;
		show_task(l, t, depth);
		if (depth < 200)
			show_tree(l, t->e->pid, depth + 1);
	}
}

static void show_tasks(struct look *l)
{
	head("Tasks");
	printf("%s%7s %-24s %-8s %3s %10s %4s  %s%s\n", tint(stdout, TINT_DIM), "PID", "NAME", "STATE", "THR", "MEMORY",
	       "FDS", "COMMAND", tint(stdout, TINT_NONE));
	show_tree(l, 0, 0);
	for (size_t i = 0; i < l->tasks.n; i++)
		if (!l->tasks.v[i].shown)
			show_task(l, &l->tasks.v[i], 0);
}

static void show_files(const struct look *l, bool sockets)
{
	bool any = false;

	for (size_t i = 0; i < l->tasks.n; i++)
		for (size_t k = 0; k < l->tasks.v[i].fds.n; k++) {
			const FdinfoEntry *d = (FdinfoEntry *)l->tasks.v[i].fds.v[k];
			const FileEntry *f = look_file(l, d->id);
			own_mem char *words = NULL, *clean = NULL;

			if (!f || is_socket(f) != sockets)
				continue;
			if (!any)
				head(sockets ? "Sockets" : "Files");
			any = true;
			words = file_words(f);
			clean = term_clean(words);
			printf("%7u %4u  %s\n", l->tasks.v[i].e->pid, d->fd, clean);
		}
}

static void show_mounts(const struct look *l)
{
	if (l->mounts.n)
		head("Mounts");
	for (size_t i = l->mounts.n; i-- > 0;) { /* the root is the last one written */
		const MntEntry *e = (MntEntry *)l->mounts.v[i];
		own_mem char *at = term_clean(e->mountpoint), *src = term_clean(e->source);

		printf("%-32s %s%s\n", at, src, e->ext_key ? " (from outside)" : "");
	}
}

/* ---- as JSON ---- */

static void json_task(const struct look *l, yajl_gen g, const struct look_task *t)
{
	yajl_gen_map_open(g);
	json_put_int(g, "pid", t->e->pid);
	json_put_int(g, "ppid", t->e->ppid);
	json_put_int(g, "pgid", t->e->pgid);
	json_put_int(g, "sid", t->e->sid);
	json_put(g, "name", look_comm(t));
	json_put(g, "command", t->args);
	json_put(g, "state", state_name(t));
	json_put_int(g, "threads", t->e->n_threads);
	json_put_int(g, "memory", t->pages * PAGE);
	if (t->parent_pages)
		json_put_int(g, "memory_in_parent", t->parent_pages * PAGE);
	json_key(g, "descriptors");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < t->fds.n; i++) {
		const FdinfoEntry *d = (FdinfoEntry *)t->fds.v[i];
		const FileEntry *f = look_file(l, d->id);
		own_mem char *words = f ? file_words(f) : NULL;

		yajl_gen_map_open(g);
		json_put_int(g, "fd", d->fd);
		json_put_int(g, "id", d->id);
		json_put(g, "type", type_name(d->type));
		json_put(g, "what", words);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
	yajl_gen_map_close(g);
}

static void json_mounts(const struct look *l, yajl_gen g)
{
	json_key(g, "mounts");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < l->mounts.n; i++) {
		const MntEntry *e = (MntEntry *)l->mounts.v[i];

		yajl_gen_map_open(g);
		json_put(g, "destination", e->mountpoint);
		json_put(g, "source", e->source);
		json_put(g, "root", e->root);
		json_put_bool(g, "external", e->ext_key != NULL);
		yajl_gen_map_close(g);
	}
	yajl_gen_array_close(g);
}

static void show_json(const struct look *l)
{
	yajl_gen g = json_new();
	own_mem char *text = NULL;

	yajl_gen_map_open(g);
	json_put(g, "name", about(l, "name", "name"));
	json_put(g, "id", about(l, "id", "id"));
	json_put(g, "image", about(l, "image", "rootfsImageName"));
	json_put(g, "runtime", about(l, "runtime", "runtime"));
	json_put(g, "engine", engine(l));
	json_put(g, "created", about(l, "created", "createdTime"));
	json_put(g, "checkpointed", about(l, "checkpointed", "checkpointedTime"));
	json_put_int(g, "memory", l->pages_bytes);
	json_put_int(g, "rootfs_diff", l->diff_bytes);
	if (l->stats && l->stats->dump)
		json_put_int(g, "frozen_us", l->stats->dump->frozen_time);
	json_key(g, "namespaces");
	yajl_gen_map_open(g);
	for (size_t i = 0; i < l->n_ns; i++)
		json_put_int(g, l->ns[i].name, l->ns[i].id);
	yajl_gen_map_close(g);
	json_key(g, "tasks");
	yajl_gen_array_open(g);
	for (size_t i = 0; i < l->tasks.n; i++)
		json_task(l, g, &l->tasks.v[i]);
	yajl_gen_array_close(g);
	json_mounts(l, g);
	if (l->network) {
		json_key(g, "network");
		json_copy(g, l->network);
	}
	yajl_gen_map_close(g);
	text = json_end(g);
	fputs(text, stdout);
}

int show_run(struct people *p)
{
	char why[WHY_MAX] = "";
	struct look l;
	int r = look_open(&l, p->what, false, why, sizeof(why));

	if (r == 0)
		r = look_read(&l, why, sizeof(why));
	if (r < 0) {
		r = term_fail("%s", why);
	} else if (p->json) {
		show_json(&l);
	} else {
		show_head(&l);
		show_tasks(&l);
		show_files(&l, false);
		show_files(&l, true);
		show_mounts(&l);
	}
	look_close(&l);
	return r;
}
