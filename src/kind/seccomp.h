/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp: filters of all threads, gathered while cores are written. */
#ifndef KIND_SECCOMP_H
#define KIND_SECCOMP_H

#include "session/session.h"

/** seccomp_dump_end - write seccomp.img */
int seccomp_dump_end(struct session *s);

#endif
