// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "base/res.h"

#include <assert.h>

static struct map_row *map_row(const struct map *m, uint64_t key)
{
	size_t i = (key * 0x9e3779b97f4a7c15ULL >> 20) & (m->max - 1);

	while (m->rows[i].value && m->rows[i].key != key)
		i = (i + 1) & (m->max - 1);
	return &m->rows[i];
}

void *map_get(const struct map *m, uint64_t key)
{
	return m->max ? map_row(m, key)->value : NULL;
}

void map_put(struct map *m, uint64_t key, void *value)
{
	struct map_row *r;

	assert(value);
	if (m->n * 2 >= m->max) {
		struct map bigger = { .max = m->max ? m->max * 2 : 64, .n = m->n };

		bigger.rows = xalloc(bigger.max * sizeof(*bigger.rows));
		for (size_t i = 0; i < m->max; i++)
			if (m->rows[i].value)
				*map_row(&bigger, m->rows[i].key) = m->rows[i];
		free(m->rows);
		*m = bigger;
	}
	r = map_row(m, key);
	if (!r->value)
		m->n++;
	r->key = key;
	r->value = value;
}

void map_free(struct map *m)
{
	free(m->rows);
	*m = (struct map){ 0 };
}
