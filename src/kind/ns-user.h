/* SPDX-License-Identifier: Apache-2.0 */
/* ns-user: user namespaces below the root task's, and what belongs to them; for the namespace family only. */
#ifndef KIND_NS_USER_H
#define KIND_NS_USER_H

#include "images/userns.pb-c.h"
#include "kind/ns-set.h"

/* dump */
/**
 * ns_owners_note - whose every nested namespace is; user namespaces without tasks become known. What threads could not
 * enter from their process's user namespace is refused.
 */
int ns_owners_note(struct session *s, struct ns_set *set, const struct tree *tree);
/**
 * ns_user_note - the user namespace that descriptor fd, which is taken, shows, and those around it become known
 * Return: 0; *ret is NULL if it is the root task's. -EXDEV: it is none of those below that.
 */
int ns_user_note(struct session *s, struct ns_set *set, int fd, struct ns **ret);
/** ns_users_dump - images of the nested ones */
int ns_users_dump(struct session *s);
/** userns_read_maps - those of the namespace of the process with directory proc, as our own counts */
int userns_read_maps(int proc, UsernsEntry *e);
/** userns_report_limits - which are not kept, of the one that the caller, a guest, is in */
void userns_report_limits(struct session *s, const struct ns *ns);

/* restore */
/** userns_read_image - userns-N.img of a nested one, checked; owned by the caller also after failures */
int userns_read_image(struct session *s, uint32_t id, UsernsEntry **ret);
int userns_write_maps(int proc, const UsernsEntry *e);
/** userns_settle - the root task, which is in its user namespace, becomes root of that, free of limits */
int userns_settle(struct session *s, const struct task *root);
/** ns_users_plan - from the tasks' ids; those around them too */
int ns_users_plan(struct session *s, struct tree *tree);
/** ns_users_make - in the guest that fills; each is handed to the supervisor, which calls ns_user_taken() */
int ns_users_make(struct session *s);
void ns_user_taken(struct session *s, const struct ns *ns);
/** ns_pids_make - in that guest: pid namespaces whose first task has ended, which nobody can enter */
int ns_pids_make(struct session *s);
/** ns_cgroups_make - supervisor, before and after that: the nested cgroup namespaces whose owners exist */
int ns_cgroups_make(struct session *s);
/** ns_unshare - go into a new namespace, which is ns, made in the user namespace that it belongs to */
int ns_unshare(struct session *s, const struct ns *ns);

#endif
