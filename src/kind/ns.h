/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns: namespaces. Today a tree must live in the namespaces of whoever dumps it; others are refused
 * before anything is stopped.
 */
#ifndef KIND_NS_H
#define KIND_NS_H

#include "task/tree.h"

/** ns_preflight_all - does every task live in our namespaces? */
int ns_preflight_all(struct session *s, struct tree *tree);
/** ns_note - namespace ids of every live task, into task->ids */
int ns_note(struct session *s, struct tree *tree);
/** ns_own_ids - the dumper's own, for the inventory */
void ns_own_ids(TaskKobjIdsEntry *ret);
/** ns_dump_clocks - timens-0.img: what the monotonic clocks show at the dump */
int ns_dump_clocks(struct session *s);
/** ns_check_clocks - restore: say it when those clocks will be seen to jump */
int ns_check_clocks(struct session *s);
/** ns_plan - restore: may the tasks live in ours? root_ids are the inventory's */
int ns_plan(struct session *s, const struct tree *tree, const TaskKobjIdsEntry *root_ids);
/** ns_root_fd - the directory "/" in which files are opened; borrowed */
int ns_root_fd(struct session *s);
/**
 * ns_socket - socket() in a network namespace
 * @net_ns_id: as in the image; 0: the root task's
 * Return: a descriptor above 2, close-on-exec, or -errno with the reason.
 */
int ns_socket(struct session *s, uint32_t net_ns_id, int family, int type, int protocol);
/** ns_enter_net - the supervisor enters a network namespace (sock_diag, ...); id 0: back to its own */
int ns_enter_net(struct session *s, uint32_t id);
/**
 * ns_enter_root - restore: the supervisor's "/" and "." become the root task's, for bind() to a path;
 * ns_leave_root() must follow
 */
int ns_enter_root(struct session *s);
int ns_leave_root(struct session *s);
void ns_end(struct session *s);

#endif
