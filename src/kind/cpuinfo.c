// SPDX-License-Identifier: Apache-2.0
/*
 * cpuinfo: the processor, on request (--cpu-cap, cpuinfo dump and check).
 * Kept: maker, model, instructions, size and parts of the floating point state.
 * Lost: what only kernels use, hints of speed.
 */
#include "kind/cpuinfo.h"

#include "arch/arch.h"
#include "base/res.h"
#include "image/record.h"

int cpuinfo_dump(struct session *s)
{
	CpuinfoX86Entry x86, *list = &x86;
	CpuinfoEntry e = CPUINFO_ENTRY__INIT;
	int r;

	arch_cpuinfo(&x86);
	e.n_x86_entry = 1;
	e.x86_entry = &list;
	r = image_write_one(s, MAGIC_CPUINFO, &e.base, "cpuinfo.img");
	arch_cpuinfo_free(&x86);
	return r;
}

int cpuinfo_check(struct session *s, uint32_t caps)
{
	ProtobufCMessage *m = NULL;
	CpuinfoEntry *e;
	char why[200];
	int r = image_read_one(s, MAGIC_CPUINFO, &cpuinfo_entry__descriptor, &m, "cpuinfo.img");

	if (r < 0)
		return r;
	e = (CpuinfoEntry *)m;
	if (e->n_x86_entry != 1)
		r = session_fail(s, -ENOTSUP, "cpuinfo.img: is of another kind of machine");
	else if (arch_cpuinfo_lacks(e->x86_entry[0], caps, why, sizeof(why)))
		r = session_fail(s, -ENOTSUP,
				 "cpuinfo.img: the processor here differs: %s; restore on one like it, or ask for less with --cpu-cap",
				 why);
	cpuinfo_entry__free_unpacked(e, NULL);
	return r;
}
