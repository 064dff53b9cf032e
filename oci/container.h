/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container: what runs here, found in the state that runtimes and engines keep: runc, crun (alone or under
 * Podman, containerd, Docker, CRI-O), LXC; and any pid.
 */
#ifndef OCI_CONTAINER_H
#define OCI_CONTAINER_H

#include "oci/json.h"

#include <sys/types.h>

struct container {
	const char *runtime; /* "runc", "crun", "lxc"; "" for a pid */
	const char *manager; /* "podman", "containerd", "docker", "cri-o"; NULL: nobody above the runtime */
	const char *status;  /* "running", "paused", "stopped" */
	pid_t pid;	     /* of its first task, 0 if stopped */
	/* owned; NULL: not known */
	char *id, *name, *image, *created;
	char *state;  /* file in which the runtime keeps its state */
	char *root;   /* runtime's --root */
	char *bundle; /* directory of config.json */
	char *config; /* config.json */
	char *rootfs;
	char *cgroup; /* its freezer: directory of v1's freezer or of v2 */
};

struct containers {
	struct container **v; /* owned */
	size_t n, max;
};

/**
 * containers_find - every container of this machine
 * @roots: directories of runtime state that come first, separated by colons; may be NULL
 */
void containers_find(struct containers *all, const char *roots);
void containers_free(struct containers *all);
/**
 * container_pick - the one that is meant: id, name, beginning of an id, or pid
 * Return: 0 and *ret (borrowed from all, which may grow by a pid), or -errno with the reason in why.
 */
int container_pick(struct containers *all, const char *what, struct container **ret, char *why, size_t n);
/** container_new - an empty one, added to all */
struct container *container_new(struct containers *all);
/** proc_start - start time of a task in ticks since boot, 0 if it is gone or a zombie */
unsigned long long proc_start(pid_t pid);

/* ---- sources, one file each ---- */

/** runtime_find - state of runc and crun below a directory of theirs */
void runtime_find(struct containers *all, const char *root);
/** names_find - names that Podman, Docker, containerd and CRI-O gave them */
void names_find(struct containers *all);
/** lxc_find - LXC's containers that run */
void lxc_find(struct containers *all);
/** cgroup_dir - directory of a task's freezer cgroup, owned; NULL if it has none of its own */
char *cgroup_dir(pid_t pid);

#endif
