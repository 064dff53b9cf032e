/* SPDX-License-Identifier: Apache-2.0 */
/* ghost-attr: extended attributes of files and directories without a name, among them ACLs and capabilities. */
#ifndef KIND_GHOST_ATTR_H
#define KIND_GHOST_ATTR_H

#include "images/ghost-file.pb-c.h"
#include "session/session.h"

/**
 * ghost_attr_read - dump: fill e->attrs
 * @fd: open, not by O_PATH
 * ghost_attr_free() must follow.
 */
int ghost_attr_read(struct session *s, int fd, GhostFileEntry *e, uint32_t id);
void ghost_attr_free(GhostFileEntry *e);
/** ghost_attr_write - restore: give them to fd; one that its file system does not take is said */
void ghost_attr_write(struct session *s, int fd, const GhostFileEntry *e, uint32_t id);

#endif
