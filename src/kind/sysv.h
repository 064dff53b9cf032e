/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysv: the objects of System V IPC in an ipc namespace: segments, semaphore sets, message queues.
 * For kind/ns/ipc.c, which says in which process each function runs, and for mem/sysv.c.
 */
#ifndef KIND_SYSV_H
#define KIND_SYSV_H

#include "kind/ns.h"

/** sysv_key - what a segment is called in images: its id, and in a nested ipc namespace that one's too */
uint64_t sysv_key(struct session *s, uint32_t ipc_ns_id, uint32_t id);

/** sysv_preflight - inside the namespace, tasks running: what cannot be kept, what is lost */
int sysv_preflight(struct session *s, const struct ns *ns);
/** sysv_dump - ipcns-shm, ipcns-sem, ipcns-msg and the contents; in a guest in the namespace */
int sysv_dump(struct session *s, const struct ns *ns);

/** sysv_attached_file - the file behind a segment that we, maybe a guest, have attached at p; -errno */
int sysv_attached_file(struct session *s, const void *p, int flags);

/** sysv_prepare - supervisor, before anything is made: check the images, note sizes of segments */
int sysv_prepare(struct session *s, const struct ns *ns);
/** sysv_restore - make the objects under their ids; in a guest in the namespace, limits raised */
int sysv_restore(struct session *s, const struct ns *ns);
/** sysv_size - restore: bytes of a segment, whole pages of its sort; 0 the images have none of that id */
uint64_t sysv_size(struct session *s, uint64_t id);
/** sysv_finish - supervisor, when all tasks have attached: what was removed while in use is removed again */
int sysv_finish(struct session *s);

#endif
