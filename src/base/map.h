/* SPDX-License-Identifier: Apache-2.0 */
/* map: 64-bit key to pointer. Keys are stored once; values are borrowed. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_row {
	uint64_t key;
	void *value; /* NULL: free row */
};
struct map {
	struct map_row *rows;
	size_t n, max;
};

/** map_get - value of key, or NULL */
void *map_get(const struct map *m, uint64_t key);
/** map_put - set the value of key; value must not be NULL */
void map_put(struct map *m, uint64_t key, void *value);
/** map_free - forget all rows; not the values */
void map_free(struct map *m);

#endif
