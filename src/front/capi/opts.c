// SPDX-License-Identifier: Apache-2.0
/* opts: criu_local_set_X(), criu_local_add_X(): one field of CriuOpts each. */
#include "front/capi/capi.h"

#include <sched.h>

/* ---- the options themselves ---- */

int criu_local_init_opts(criu_opts **ret)
{
	criu_opts *o = calloc(1, sizeof(*o));

	if (o)
		o->rpc = malloc(sizeof(*o->rpc));
	if (!o || !o->rpc) {
		free(o);
		return -1;
	}
	criu_opts__init(o->rpc);
	o->comm = CRIU_COMM_BIN;
	o->fd = -1;
	criu_local_free_opts(*ret);
	*ret = o;
	return 0;
}

void criu_local_free_service(criu_opts *opts)
{
	free(opts->binary);
	free(opts->address);
	opts->binary = opts->address = NULL;
}

void criu_local_free_opts(criu_opts *opts)
{
	if (!opts)
		return;
	criu_local_free_service(opts);
	criu_opts__free_unpacked(opts->rpc, NULL);
	free(opts);
}

/* ---- helpers: 0 or -ENOMEM ---- */

static int text_set(char **at, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static int list_add(void *list, size_t *n, void *item)
{
	void **more = realloc(*(void ***)list, (*n + 1) * sizeof(*more));

	if (!more || !item) {
		if (more)
			*(void ***)list = more;
		return -ENOMEM;
	}
	more[(*n)++] = item;
	*(void ***)list = more;
	return 0;
}

static int text_add(char ***list, size_t *n, const char *text)
{
	char *copy = strdup(text);
	int r = list_add(list, n, copy);

	if (r < 0)
		free(copy);
	return r;
}

/* ---- who is asked ---- */

int criu_local_set_service_binary(criu_opts *opts, const char *path)
{
	int r = text_set(&opts->binary, path);

	if (r == 0)
		opts->comm = CRIU_COMM_BIN;
	return r;
}

int criu_local_set_service_address(criu_opts *opts, const char *path)
{
	int r = text_set(&opts->address, path);

	if (r == 0)
		opts->comm = CRIU_COMM_SK;
	return r;
}

void criu_local_set_service_fd(criu_opts *opts, int fd)
{
	opts->comm = CRIU_COMM_FD;
	opts->fd = fd;
}

/* ---- one value each ---- */

void criu_local_set_images_dir_fd(criu_opts *opts, int fd)
{
	opts->rpc->images_dir_fd = fd;
}

/* One setter is like the next: NAME as in the header, FIELD as in rpc.proto. */
#define SET(name, type, field) \
	void criu_local_set_##name(criu_opts *opts, type v) \
	{ \
		opts->rpc->has_##field = true; \
		opts->rpc->field = v; \
	}
#define SET_BOOL(name) SET(name, bool, name)
#define SET_TEXT(name, field) \
	int criu_local_set_##name(criu_opts *opts, const char *v) \
	{ \
		return text_set(&opts->rpc->field, v); \
	}

SET(pid, int, pid)
SET(work_dir_fd, int, work_dir_fd)
SET(log_level, int, log_level)
SET(cpu_cap, unsigned int, cpu_cap)
SET(ghost_limit, unsigned int, ghost_limit)
SET(timeout, unsigned int, timeout)
SET(empty_ns, int, empty_ns)
SET(pidfd_store_sk, int, pidfd_store_sk)
SET_BOOL(auto_dedup)
SET_BOOL(auto_ext_mnt)
SET_BOOL(evasive_devices)
SET_BOOL(ext_masters)
SET_BOOL(ext_sharing)
SET_BOOL(ext_unix_sk)
SET_BOOL(file_locks)
SET_BOOL(force_irmap)
SET_BOOL(leave_running)
SET_BOOL(link_remap)
SET_BOOL(manage_cgroups)
SET_BOOL(mntns_compat_mode)
SET_BOOL(orphan_pts_master)
SET_BOOL(shell_job)
SET_BOOL(skip_file_rwx_check)
SET_BOOL(tcp_close)
SET_BOOL(tcp_established)
SET_BOOL(tcp_skip_in_flight)
SET_BOOL(track_mem)
SET_BOOL(unprivileged)
SET_BOOL(weak_sysctls)
SET_TEXT(parent_images, parent_img)
SET_TEXT(log_file, log_file)
SET_TEXT(root, root)
SET_TEXT(freeze_cgroup, freeze_cgroup)
SET_TEXT(lsm_profile, lsm_profile)
SET_TEXT(lsm_mount_context, lsm_mount_context)
SET_TEXT(config_file, config_file)

void criu_local_set_manage_cgroups_mode(criu_opts *opts, enum criu_cg_mode mode)
{
	opts->rpc->has_manage_cgroups_mode = true;
	opts->rpc->manage_cgroups_mode = (CriuCgMode)mode;
}

int criu_local_set_network_lock(criu_opts *opts, enum criu_network_lock_method method)
{
	if (method < CRIU_NETWORK_LOCK_IPTABLES || method > CRIU_NETWORK_LOCK_SKIP)
		return -1;
	opts->rpc->has_network_lock = true;
	opts->rpc->network_lock = (CriuNetworkLockMethod)method;
	return 0;
}

int criu_local_set_pre_dump_mode(criu_opts *opts, enum criu_pre_dump_mode mode)
{
	if (mode != CRIU_PRE_DUMP_SPLICE && mode != CRIU_PRE_DUMP_READ)
		return -1;
	opts->rpc->has_pre_dump_mode = true;
	opts->rpc->pre_dump_mode = (CriuPreDumpMode)mode;
	return 0;
}

void criu_local_set_notify_cb(criu_opts *opts, int (*cb)(char *action, criu_notify_arg_t na))
{
	opts->notify = cb;
	opts->rpc->has_notify_scripts = true;
	opts->rpc->notify_scripts = true;
}

int criu_local_set_page_server_address_port(criu_opts *opts, const char *address, int port)
{
	CriuPageServerInfo *ps = malloc(sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	criu_page_server_info__init(ps);
	ps->has_port = true;
	ps->port = port;
	if (text_set(&ps->address, address) < 0) {
		free(ps);
		return -ENOMEM;
	}
	if (opts->rpc->ps)
		criu_page_server_info__free_unpacked(opts->rpc->ps, NULL);
	opts->rpc->ps = ps;
	return 0;
}

/* ---- lists ---- */

int criu_local_set_exec_cmd(criu_opts *opts, int argc, char *argv[])
{
	CriuOpts *o = opts->rpc;
	int r = 0;

	while (o->n_exec_cmd)
		free(o->exec_cmd[--o->n_exec_cmd]);
	for (int i = 0; r == 0 && i < argc; i++)
		r = text_add(&o->exec_cmd, &o->n_exec_cmd, argv[i]);
	return r;
}

#define ADD_TEXT(name, field) \
	int criu_local_add_##name(criu_opts *opts, const char *v) \
	{ \
		return text_add(&opts->rpc->field, &opts->rpc->n_##field, v); \
	}

ADD_TEXT(enable_fs, enable_fs)
ADD_TEXT(skip_mnt, skip_mnt)
ADD_TEXT(irmap_path, irmap_scan_paths)
ADD_TEXT(external, external)
ADD_TEXT(cg_dump_controller, cgroup_dump_controller)

int criu_local_add_cg_props(criu_opts *opts, const char *stream)
{
	return text_set(&opts->rpc->cgroup_props, stream);
}

int criu_local_add_cg_props_file(criu_opts *opts, const char *path)
{
	return text_set(&opts->rpc->cgroup_props_file, path);
}

int criu_local_add_cg_yard(criu_opts *opts, const char *path)
{
	return text_set(&opts->rpc->cgroup_yard, path);
}

int criu_local_add_ext_mount(criu_opts *opts, const char *key, const char *val)
{
	ExtMountMap *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	ext_mount_map__init(m);
	if (text_set(&m->key, key) == 0 && text_set(&m->val, val) == 0 &&
	    list_add(&opts->rpc->ext_mnt, &opts->rpc->n_ext_mnt, m) == 0)
		return 0;
	ext_mount_map__free_unpacked(m, NULL);
	return -ENOMEM;
}

int criu_local_add_veth_pair(criu_opts *opts, const char *in, const char *out)
{
	CriuVethPair *v = malloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	criu_veth_pair__init(v);
	if (text_set(&v->if_in, in) == 0 && text_set(&v->if_out, out) == 0 &&
	    list_add(&opts->rpc->veths, &opts->rpc->n_veths, v) == 0)
		return 0;
	criu_veth_pair__free_unpacked(v, NULL);
	return -ENOMEM;
}

int criu_local_add_cg_root(criu_opts *opts, const char *ctrl, const char *path)
{
	CgroupRoot *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	cgroup_root__init(c);
	if (text_set(&c->ctrl, ctrl) == 0 && text_set(&c->path, path) == 0 &&
	    list_add(&opts->rpc->cg_root, &opts->rpc->n_cg_root, c) == 0)
		return 0;
	cgroup_root__free_unpacked(c, NULL);
	return -ENOMEM;
}

int criu_local_add_unix_sk(criu_opts *opts, unsigned int inode)
{
	CriuOpts *o = opts->rpc;
	UnixSk *u;

	if (o->has_ext_unix_sk && !o->ext_unix_sk)
		return -1;
	u = malloc(sizeof(*u));
	if (!u)
		return -ENOMEM;
	unix_sk__init(u);
	u->inode = inode;
	if (list_add(&o->unix_sk_ino, &o->n_unix_sk_ino, u) < 0) {
		free(u);
		return -ENOMEM;
	}
	o->has_ext_unix_sk = o->ext_unix_sk = true;
	return 0;
}

int criu_local_add_inherit_fd(criu_opts *opts, int fd, const char *key)
{
	InheritFd *f;

	if (opts->comm != CRIU_COMM_BIN) /* only a child of ours has our descriptors */
		return -1;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	inherit_fd__init(f);
	f->fd = fd;
	if (text_set(&f->key, key) == 0 &&
	    list_add(&opts->rpc->inherit_fd, &opts->rpc->n_inherit_fd, f) == 0)
		return 0;
	inherit_fd__free_unpacked(f, NULL);
	return -ENOMEM;
}

int criu_local_join_ns_add(criu_opts *opts, const char *ns, const char *ns_file, const char *extra_opt)
{
	JoinNamespace *j;

	if (!ns || !ns_file)
		return -1;
	j = malloc(sizeof(*j));
	if (!j)
		return -1;
	join_namespace__init(j);
	if (text_set(&j->ns, ns) == 0 && text_set(&j->ns_file, ns_file) == 0 &&
	    text_set(&j->extra_opt, extra_opt) == 0 &&
	    list_add(&opts->rpc->join_ns, &opts->rpc->n_join_ns, j) == 0)
		return 0;
	join_namespace__free_unpacked(j, NULL);
	return -1;
}
