/* SPDX-License-Identifier: Apache-2.0 */
/* flow: the stories. Each takes a session whose options, directories and log are set. */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include "session/session.h"

/**
 * flow_dump - checkpoint the tree whose root is opts->pid into s->images
 *
 * opts->leave_running, leave_stopped: what becomes of the tasks; else they are killed and reaped.
 * Return: 0; or -errno with s->why, and the tasks run on as before.
 */
int flow_dump(struct session *s);
/**
 * flow_restore - bring back what s->images holds
 * @ret_root: pid of the root task as we see it
 *
 * opts->rst_sibling: the root becomes a child of our parent, else of us.
 * Return: 0, and flow_restore_end() is to be called; or -errno with s->why, and nothing is left behind.
 */
int flow_restore(struct session *s, pid_t *ret_root);
/**
 * flow_restore_end - the caller has heard of the success: the tasks outlive us from now on
 * @wanted: false: it cannot be told; they are ended after all
 */
void flow_restore_end(struct session *s, bool wanted);
/**
 * flow_preflight - list every obstacle to a dump of opts->pid without stopping anything
 * Return: 0 none; -errno with s->why naming the first, all of them in the log as warnings.
 */
int flow_preflight(struct session *s);

#endif
