/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genl-groups: multicast groups of generic netlink, whose numbers differ from boot to boot: what counts is their names.
 */
#ifndef KIND_GENL_GROUPS_H
#define KIND_GENL_GROUPS_H

#include "images/sk-netlink.pb-c.h"
#include "session/session.h"

/** genl_groups_note - fill e->genl with the names of those groups that e has */
void genl_groups_note(struct session *s, NetlinkSkEntry *e);
void genl_groups_free(NetlinkSkEntry *e);
/**
 * genl_group_here - the number that group has on this machine
 * Return: it, itself if the image knows no name for it, or -ENOENT: there is none of that name.
 */
int genl_group_here(struct session *s, const NetlinkSkEntry *e, uint32_t group, const NetlinkGroup **ret);

#endif
