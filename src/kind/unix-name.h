/* SPDX-License-Identifier: Apache-2.0 */
/* unix-name: the addresses of unix sockets: found with their files at dump, bound and reached again. */
#ifndef KIND_UNIX_NAME_H
#define KIND_UNIX_NAME_H

#include "kind/unix-caller.h"

/**
 * unix_name_note - file_perms, mnt_id, name_dir, name_root, file_name and deleted of a socket whose name is a path
 * @e: has its name; what is allocated belongs to it
 */
int unix_name_note(struct session *s, struct task *task, int fd, UnixSkEntry *e);
/** unix_name_check - is the name of an entry possible at all */
int unix_name_check(struct session *s, const UnixSkEntry *e);
/** unix_name_same - do two entries have the same name, and one at all */
bool unix_name_same(const UnixSkEntry *a, const UnixSkEntry *b);
/** unix_name_bind - give a socket its name (if it has one), its file its owner and mode */
int unix_name_bind(struct session *s, int fd, const UnixSkEntry *e);
/** unix_name_connect - connect to a bound socket of ours, also when its file has no name any more */
int unix_name_connect(struct session *s, int fd, int to, const UnixSkEntry *e);
/**
 * unix_name_connect_by - same, by a task when it can reach the name
 * @num: the number of fd there, or -1
 */
int unix_name_connect_by(struct session *s, const struct unix_caller *c, int num, int fd, int to,
			 const UnixSkEntry *e);
/** unix_name_connect_out - connect to a socket outside the tree, by its name only */
int unix_name_connect_out(struct session *s, int fd, const UnixSkEntry *e);
/** unix_name_text - for messages; at most 108 bytes of it, in buf of 120 */
const char *unix_name_text(const UnixSkEntry *e, char *buf);

#endif
