/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page: memory contents: pagemap-NAME.img says which pages there are, pages-ID.img holds them; pages
 * marked PARENT are found in the directory behind the link "parent".
 */
#ifndef IMAGE_PAGE_H
#define IMAGE_PAGE_H

#include "image/record.h"

enum pagemap_flag { PE_PARENT = 1, PE_LAZY = 2, PE_PRESENT = 4 };

/* ---- writing ---- */

struct page_out {
	struct session *s;
	struct image map;
	int pages; /* pages-ID.img */
	char name[32];
	uint64_t vaddr, n; /* run not yet written to the map */
	uint64_t total;	   /* pages written */
};

/** page_ids_apart - in a guest: give pages files other ids than the supervisor, which runs on */
void page_ids_apart(struct session *s);
/** page_out_open - start pagemap-NAME.img and its pages file, whose id is taken from the session */
int page_out_open(struct session *s, struct page_out *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** page_out_add - n pages of data at vaddr; ascending. buf is page aligned */
int page_out_add(struct page_out *o, uint64_t vaddr, uint64_t n, const void *buf);
/** page_out_sparse - the same without the pages that are all zero; *zero grows by their number */
int page_out_sparse(struct page_out *o, uint64_t vaddr, uint64_t n, const char *buf, uint64_t *zero);
int page_out_close(struct page_out *o);

/* ---- reading ---- */

struct page_run {
	uint64_t vaddr, n; /* address in bytes, pages */
	uint32_t file;	   /* index in files */
	uint64_t off;	   /* bytes in that file */
};

struct pages {
	struct page_run *v; /* ascending, not overlapping; parents resolved */
	size_t n, max;
	struct {
		int *v; /* descriptors of pages files */
		size_t n, max;
	} files;
	uint64_t total; /* pages */
};

/**
 * pages_read - read a pagemap with all its parents
 * Every run is checked to lie in its pages file.
 */
int pages_read(struct session *s, struct pages *p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void pages_free(struct pages *p);
/** pages_find - the run that holds the page at vaddr, or the first one behind it; n if none */
size_t pages_find(const struct pages *p, uint64_t vaddr);

#endif
