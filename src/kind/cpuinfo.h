/* SPDX-License-Identifier: Apache-2.0 */
/* cpuinfo: cpuinfo.img, the processor of a checkpoint. Programs choose their code by it when they start. */
#ifndef KIND_CPUINFO_H
#define KIND_CPUINFO_H

#include "session/session.h"

/** cpuinfo_dump - cpuinfo.img of the processor here */
int cpuinfo_dump(struct session *s);
/**
 * cpuinfo_check - can what ran on the processor of cpuinfo.img run here?
 * @caps: CPU_CAP_*; 0 compares nothing
 * Return: 0; -ENOTSUP it cannot; -errno there is no such image, or it is broken.
 */
int cpuinfo_check(struct session *s, uint32_t caps);

#endif
