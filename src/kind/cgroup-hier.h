/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-hier: the hierarchies of this host, and the names of limits; for cgroup-*.c. */
#ifndef KIND_CGROUP_HIER_H
#define KIND_CGROUP_HIER_H

#include "images/cgroup.pb-c.h"
#include "session/session.h"

struct hier {
	char *name; /* as /proc/PID/cgroup has it: "cpu,cpuacct", "name=systemd", "" for v2 */
	char *own;  /* path of this process in it */
	int fd;	    /* its root directory, -1 until hier_open() */
	char *path; /* where that is mounted, or NULL */
};

struct hiers {
	struct hier *v;
	size_t n, max;
};

/** hiers_read - lines "ID:NAME:PATH" of a /proc/PID/cgroup text */
int hiers_parse(struct session *s, const char *text, struct hiers *ret);
void hiers_free(struct hiers *h);
struct hier *hiers_find(const struct hiers *h, const char *name);
/** hier_mounted - its directory, if it is mounted from its root on; else h->fd stays -1 */
int hier_mounted(struct session *s, struct hier *h);
/** hier_open - the directory of a hierarchy's root; by its mount, or by one of our own; -errno said */
int hier_open(struct session *s, struct hier *h);
/**
 * hier_mount - a mount of it that nobody else sees; of v2 its options may become those of all mounts, but in a cgroup
 * namespace other than the first
 */
int hier_mount(const struct hier *h);
/** hier_dir - name of a hierarchy's directory, as hosts and --cgroup-yard have it */
const char *hier_dir(const struct hier *h);
/** hier_has - is controller (of cnames) one of the hierarchy's? v2 has "" */
bool hier_has(const struct hier *h, const char *controller);
/** hier_root - --cgroup-root of a hierarchy: one that names it, or the one without a controller; NULL: none */
const char *hier_root(const struct session *s, const struct hier *h);

enum prop_when {
	PROP_EARLY, /* before tasks come in */
	PROP_LATE,
};
enum prop_how {
	PROP_VALUE,
	PROP_LINES,   /* takes one line a time: "8:0 1048576" of each device */
	PROP_DEVICES, /* devices.list */
	PROP_SUBTREE, /* cgroup.subtree_control */
	PROP_PERMS,   /* its value is no limit: only owner and mode */
};
struct prop_name {
	const char *controller; /* NULL: any of that version */
	bool v2;
	const char *name;
	enum prop_when when;
	enum prop_how how;
};
/** prop_names - known limits, in the order of setting; name NULL at the end. See cgroup-props.h */
extern const struct prop_name prop_names[];

/**
 * cgroup_tops - where the cgroup namespace of descriptor ns begins in every hierarchy
 * @own: our own /proc/self/cgroup; *ret is like it, owned by the caller
 */
int cgroup_tops(struct session *s, uint32_t id, int ns, const char *own, char **ret);
/* cgroup-xattr.c: extended attributes of a directory */
void cgroup_xattrs_dump(struct session *s, int dir, CgroupDirEntry *e);
void cgroup_xattrs_set(struct session *s, const struct hier *h, const char *path, const CgroupDirEntry *e);
/* cgroup-bpf.c: what is attached to a directory of version 2 */
int cgroup_bpf_dump(struct session *s, int dir, CgroupDirEntry *e);
int cgroup_bpf_attach(struct session *s, const struct hier *h, const char *path, const CgroupDirEntry *e);

#endif
