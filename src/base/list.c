// SPDX-License-Identifier: Apache-2.0
#include "base/list.h"

#include <string.h>

void *vec_grow(void *v, size_t n, size_t *max, size_t size)
{
	if (n == *max) {
		*max = *max ? *max * 2 : 8;
		v = xgrow(v, *max * size);
	}
	memset((char *)v + n * size, 0, size);
	return v;
}
