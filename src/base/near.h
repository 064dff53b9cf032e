/* SPDX-License-Identifier: Apache-2.0 */
/* near: which of the known words was meant by one that is not known. */
#ifndef BASE_NEAR_H
#define BASE_NEAR_H

#include <stddef.h>

struct near {
	const char *word, *best; /* borrowed */
	size_t n;		 /* bytes of word that count */
	unsigned distance;
};

/** near_start - up to n bytes of word are what somebody wrote */
struct near near_start(const char *word, size_t n);
/** near_try - one known word; of equally near ones the first stays */
void near_try(struct near *s, const char *known);
/** near_best - the nearest one, NULL if none is near enough to be meant */
const char *near_best(const struct near *s);

#endif
