/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page-scan: which pages of a stopped task are there.
 */
#ifndef KIND_PAGE_SCAN_H
#define KIND_PAGE_SCAN_H

#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#ifndef PAGEMAP_SCAN /* Linux 6.7 */
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};
#endif

#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8) /* Linux 6.15 */
#endif

/**
 * page_scan - ioctl(PAGEMAP_SCAN), or its answer out of what the file says when it is read
 * @pagemap: /proc/PID/pagemap
 * @by_reading: the kernel is known to lack the ioctl; set here once it says so
 *
 * By reading, only the four categories above are told from each other.
 * Return: regions written to arg->vec, or -1 with errno.
 */
int page_scan(int pagemap, bool *by_reading, struct pm_scan_arg *arg);

#endif
