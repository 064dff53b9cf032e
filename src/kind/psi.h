/* SPDX-License-Identifier: Apache-2.0 */
/* psi: triggers of pressure stall information, which whoever waits for memory, time or devices to run short has set. */
#ifndef KIND_PSI_H
#define KIND_PSI_H

#include "kind/fd.h"

/** psi_armed - dump: has that file of pressures a trigger? That its numbers are lost is said */
bool psi_armed(struct session *s, const struct fd_view *v);
/** psi_arm - restore: give a file of pressures one */
int psi_arm(struct session *s, int fd, const char *name);

#endif
