/* SPDX-License-Identifier: Apache-2.0 */
/* pass: short messages between our own processes, each with a descriptor or none (SCM_RIGHTS). */
#ifndef BASE_PASS_H
#define BASE_PASS_H

#include <stddef.h>

/** pass_send - n bytes by a SEQPACKET socket, and fd unless it is negative. Return: 0 or -errno */
int pass_send(int sock, const void *what, size_t n, int fd);
/**
 * pass_take - wait for the next message, which has to be of n bytes
 * @fd: its descriptor, owned by the caller, close-on-exec; -1: it has none, or there was no room for it
 * Return: 0; -ENODATA when the other side is gone; -errno.
 */
int pass_take(int sock, void *what, size_t n, int *fd);

#endif
