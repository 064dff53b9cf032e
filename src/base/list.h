/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vec: a growing array of one type. The caller declares `struct { TYPE *v; size_t n, max; }`.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/res.h"

/** vec_grow - make room for one more element of size bytes; returns the array, maybe moved */
void *vec_grow(void *v, size_t n, size_t *max, size_t size);

/* room for one more at the end, and its address */
#define vec_add(vec)                                                                               \
	((vec)->v = vec_grow((vec)->v, (vec)->n, &(vec)->max, sizeof(*(vec)->v)),                  \
	 &(vec)->v[(vec)->n++])

#endif
