/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle: what of a container comes from outside of it, as its runtime would tell the engine: bind mounts,
 * masked files, cgroup mounts, joined namespaces. The same is noted beside the images (stasis.json), for a
 * restore without the runtime.
 */
#ifndef OCI_BUNDLE_H
#define OCI_BUNDLE_H

#include "front/request.h"
#include "oci/container.h"

#define BUNDLE_NOTE "stasis.json"

/**
 * bundle_dump - fill opts for a dump of c
 * @note: text of stasis.json; owned
 * Return: 0, or -errno with the reason in why.
 */
int bundle_dump(const struct container *c, CriuOpts *opts, char **note, char *why, size_t n);
/** bundle_descriptors - descriptors.json, as runtimes write it: what its first three descriptors are; owned */
char *bundle_descriptors(const struct container *c);
/** bundle_restore - fill opts for a restore from what a note says; opened namespaces stay open */
int bundle_restore(yajl_val note, CriuOpts *opts, char *why, size_t n);

struct ext { /* one mount from outside */
	char *key;    /* path in the container */
	char *val;    /* its name in the images */
	char *source; /* path outside, NULL: not known */
};
/** ext_mnt_add, external_add, inherit_add, join_add - one entry of opts; texts are copied */
void ext_mnt_add(CriuOpts *o, const char *key, const char *val);
void external_add(CriuOpts *o, const char *text);

#endif
