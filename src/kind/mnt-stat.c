// SPDX-License-Identifier: Apache-2.0
/* mnt-stat: see the header. */
#include "kind/mnt-stat.h"

#include "base/res.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_GET_MNTNS_ID _IOR(0xb7, 0x5, uint64_t)
#define NR_STATMOUNT 457
#define NR_LISTMOUNT 458
#define ALL_MOUNTS UINT64_MAX /* LSMT_ROOT */

struct id_req {
	uint32_t size, spare;
	uint64_t mnt, param, ns;
};

void mnt_stat_each(int ns, uint64_t wanted, void (*fn)(void *arg, const struct mnt_stat *m), void *arg)
{
	own_mem struct mnt_stat *m = xalloc(sizeof(*m));
	struct id_req all = { .size = sizeof(all), .mnt = ALL_MOUNTS };
	uint64_t ids[128];
	long n;

	if (ioctl(ns, NS_GET_MNTNS_ID, &all.ns) < 0)
		return;
	while ((n = syscall(NR_LISTMOUNT, &all, ids, ARRAY_SIZE(ids), 0)) > 0) {
		for (long i = 0; i < n; i++) {
			struct id_req one = { .size = sizeof(one), .mnt = ids[i], .param = wanted, .ns = all.ns };

			if (syscall(NR_STATMOUNT, &one, m, sizeof(*m), 0) == 0 && (m->mask & wanted) == wanted)
				fn(arg, m);
		}
		all.param = ids[n - 1];
	}
}
