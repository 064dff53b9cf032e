/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-props: which limits are read and set: the known ones, and those of --cgroup-props. */
#ifndef KIND_CGROUP_PROPS_H
#define KIND_CGROUP_PROPS_H

#include "kind/cgroup-hier.h"

struct props {
	struct prop_name *v; /* in the order of setting */
	size_t n, max;
};

/** cgroup_props - of this session; read at the first call, -errno said if the caller's text is wrong */
int cgroup_props(struct session *s, const struct props **ret);
/** props_find - the row of a name, or NULL: such a file is not written */
const struct prop_name *props_find(const struct props *p, const char *name);

#endif
