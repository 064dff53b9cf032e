// SPDX-License-Identifier: Apache-2.0
#include "base/near.h"

#include "base/res.h"

#include <string.h>

#define WORD_MAX 40

struct near near_start(const char *word, size_t n)
{
	size_t all = strlen(word);

	return (struct near){ word, NULL, n < all ? n : all, WORD_MAX };
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Letters to put in, leave out or change, and neighbours to swap, till a is b. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned row[3][WORD_MAX + 1], *before = row[0], *last = row[1], *now = row[2];

	for (size_t k = 0; k <= m; k++)
		last[k] = k;
	for (size_t i = 1; i <= n; i++) {
		unsigned *spare = before;

		now[0] = i;
		for (size_t k = 1; k <= m; k++) {
			now[k] = least(last[k - 1] + (a[i - 1] != b[k - 1]), least(last[k], now[k - 1]) + 1);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				now[k] = least(now[k], before[k - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

void near_try(struct near *s, const char *known)
{
	size_t m = strlen(known);
	unsigned d;

	if (s->n > WORD_MAX || m > WORD_MAX)
		return;
	/* the beginning of a longer word is nearly it */
	d = s->n > 2 && s->n < m && !strncmp(s->word, known, s->n) ? 1 : distance(s->word, s->n, known, m);
	if (d < s->distance) {
		s->distance = d;
		s->best = known;
	}
}

const char *near_best(const struct near *s)
{
	return s->distance <= (s->n < 6 ? 1 : 1 + s->n / 5) ? s->best : NULL;
}
