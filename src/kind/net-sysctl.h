/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-sysctl: /proc/sys/net of the network namespace the caller is in. What stands there depends on
 * the reader's namespace, not on the mount: any proc will do.
 */
#ifndef KIND_NET_SYSCTL_H
#define KIND_NET_SYSCTL_H

#include "images/netdev.pb-c.h"
#include "session/session.h"

enum net_conf { NET_CONF4, NET_CONF6 };

/**
 * net_conf_dump - the per-device switches of one device, "all" or "default"
 * @proc: root directory of a proc
 * @ret: array of n messages, owned, of malloc'ed parts
 */
int net_conf_dump(struct session *s, int proc, enum net_conf v, const char *dev,
		  SysctlEntry ***ret, size_t *ret_n);
/** net_conf_restore - set those that differ; a device without the family has none: nothing to do */
int net_conf_restore(struct session *s, int proc, enum net_conf v, const char *dev,
		     SysctlEntry *const *e, size_t n);
/** net_conf_get, net_conf_set - one switch by name; set: an error only if it exists */
int net_conf_set(int proc, enum net_conf v, const char *dev, const char *name, int value);
/** net_conf_at - the value an array has for a name, or def */
int net_conf_at(enum net_conf v, SysctlEntry *const *e, size_t n, const char *name, int def);

/** net_sysctl_dump - unix_conf and ipv4_sysctl of a namespace */
int net_sysctl_dump(struct session *s, int proc, NetnsEntry *e);
int net_sysctl_restore(struct session *s, int proc, const NetnsEntry *e);

/** net_conf_known - is it one of the switches of a device that net_conf_dump() has? */
bool net_conf_known(enum net_conf v, const char *name);

/** net_tune_dump, net_tune_restore - all other switches (net-tune.c); devices have some, so after these */
void net_tune_dump(int proc, NetnsEntry *e);
int net_tune_restore(struct session *s, int proc, const NetnsEntry *e);

#endif
