/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ids: numbers of users and groups. Images hold them as they are seen inside the root task's user
 * namespace; the supervisor sees those outside. Without an own user namespace they are the same.
 */
#ifndef KIND_IDS_H
#define KIND_IDS_H

#include "images/userns.pb-c.h"
#include "session/session.h"

#define ID_NONE UINT32_MAX /* no number on that side; for chown(2): as it is */

/** ids_use - from now on that namespace's maps hold; copied. NULL: none do, nor nested ones */
void ids_use(struct session *s, const UsernsEntry *maps);
/** ids_mapped - is there an own user namespace? */
bool ids_mapped(struct session *s);

/** ids_groups_fixed - may nobody in the user namespace set groups? Then all have the root task's */
bool ids_groups_fixed(struct session *s);

/** ids_nest - maps of a user namespace below the root task's; up: the one around it, 0: the root task's */
void ids_nest(struct session *s, uint32_t id, uint32_t up, const UsernsEntry *maps);
/** uid_nested - number in a nested user namespace (0: the root task's) of one in the root task's, or ID_NONE */
uint32_t uid_nested(struct session *s, uint32_t id, uint32_t uid);
uint32_t gid_nested(struct session *s, uint32_t id, uint32_t gid);
/** ids_nested_fixed - likewise ids_groups_fixed() */
bool ids_nested_fixed(struct session *s, uint32_t id);
/** ids_nested_root - whom to be in there: root, or the first that it knows; ID_NONE: it knows nobody */
void ids_nested_root(struct session *s, uint32_t id, uint32_t *uid, uint32_t *gid);
/** ids_capable - have we ourselves this capability? Without, only what is the user's own is restored */
bool ids_capable(int cap);

/** uid_in - number inside of a number outside, or ID_NONE; uid_out - the other way */
uint32_t uid_in(struct session *s, uint32_t uid);
uint32_t gid_in(struct session *s, uint32_t gid);
uint32_t uid_out(struct session *s, uint32_t uid);
uint32_t gid_out(struct session *s, uint32_t gid);
/**
 * owner_in - both numbers of an owner, in place
 * Return: 0, or -ENOTSUP with the reason "WHAT: belongs to ..." if one has no number inside.
 */
int owner_in(struct session *s, uint32_t *uid, uint32_t *gid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/** owner_out - from an image; -EBADMSG with the reason if one has no number outside */
int owner_out(struct session *s, uint32_t *uid, uint32_t *gid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** ids_give - to an owner as seen inside, unless it is that one's already; -EINVAL: none outside, -errno of fchown(2) */
int ids_give(struct session *s, int fd, uint32_t uid, uint32_t gid);
/**
 * ids_assume - what the supervisor makes in file systems belongs to the tasks' root from now on, until
 * ids_resign(); it keeps its capabilities. A file system of a user namespace takes no other owners.
 */
int ids_assume(struct session *s);
void ids_resign(struct session *s);
/**
 * ids_swap - what we make belongs to these from now on; they become those to whom it did before. Our rights stay
 * Return: 0, or -EPERM if we may not.
 */
int ids_swap(uint32_t *uid, uint32_t *gid);
/** ids_assume_nested - likewise to root of a nested user namespace, or the first user it knows; from our own */
int ids_assume_nested(struct session *s, uint32_t id);

#endif
