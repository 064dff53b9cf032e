// SPDX-License-Identifier: Apache-2.0
/*
 * page-scan: which pages of a stopped task are there.
 *
 * Before Linux 6.7 there is no PAGEMAP_SCAN. Then /proc/PID/pagemap is read: eight bytes for each page, also
 * for those that are not there, so that large empty mappings take time.
 */
#include "kind/page-scan.h"

#include "base/res.h"

#include <errno.h>
#include <unistd.h>

/* a word of /proc/PID/pagemap */
#define PM_PRESENT (1ull << 63)
#define PM_SWAP (1ull << 62)
#define PM_FILE (1ull << 61)
#define PM_GUARD (1ull << 58)
#define PM_FRAME ((1ull << 55) - 1)
#define PM_MARK_UFFD (1 << 5 | 31) /* no swap space has that number: write-protected, and there is no page */

#define WORDS 4096 /* per read */

static uint64_t categories(uint64_t word)
{
	if (word & PM_GUARD)
		return PAGE_IS_GUARD;
	if ((word & PM_SWAP) && (word & PM_FRAME) == PM_MARK_UFFD)
		return 0;
	return (word & PM_PRESENT ? PAGE_IS_PRESENT : 0) | (word & PM_SWAP ? PAGE_IS_SWAPPED : 0) |
	       (word & PM_FILE ? PAGE_IS_FILE : 0);
}

/* Puts a page behind the n regions that are there. Return: how many there are now; more than vec_len: no room. */
static uint64_t region_add(const struct pm_scan_arg *arg, uint64_t n, uint64_t at, uint64_t is)
{
	struct page_region *v = (void *)(uintptr_t)arg->vec;

	is &= arg->return_mask;
	if (n > 0 && v[n - 1].end == at && v[n - 1].categories == is) {
		v[n - 1].end += PAGE;
		return n;
	}
	if (n < arg->vec_len)
		v[n] = (struct page_region){ .start = at, .end = at + PAGE, .categories = is };
	return n + 1;
}

static int scan_by_reading(int pagemap, struct pm_scan_arg *arg)
{
	uint64_t words[WORDS], n = 0;

	arg->walk_end = arg->start;
	while (arg->walk_end < arg->end) {
		uint64_t left = (arg->end - arg->walk_end) / PAGE;
		ssize_t got = pread(pagemap, words, (left < WORDS ? left : WORDS) * sizeof(*words),
				    arg->walk_end / PAGE * sizeof(*words));

		if (got < (ssize_t)sizeof(*words)) {
			if (got >= 0)
				errno = ESRCH; /* its memory is gone */
			return -1;
		}
		for (size_t i = 0; i < got / sizeof(*words); i++, arg->walk_end += PAGE) {
			uint64_t is = categories(words[i]) ^ arg->category_inverted;

			if ((is & arg->category_mask) != arg->category_mask || !(is & arg->category_anyof_mask))
				continue;
			n = region_add(arg, n, arg->walk_end, is);
			if (n > arg->vec_len)
				return arg->vec_len;
		}
	}
	return n;
}

int page_scan(int pagemap, bool *by_reading, struct pm_scan_arg *arg)
{
	if (!*by_reading) {
		int n = ioctl(pagemap, PAGEMAP_SCAN, arg);

		if (n >= 0 || errno != ENOTTY)
			return n;
		*by_reading = true;
	}
	return scan_by_reading(pagemap, arg);
}
