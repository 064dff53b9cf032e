// SPDX-License-Identifier: Apache-2.0
/*
 * Kept:   names, types, contents, owners, modes, times, extended attributes, ACLs, hard links, holes.
 * Lost:   sockets: whoever bound them makes them again; those that nobody listens on any more are not made.
 */
#include "kind/mnt-tar.h"

#include "base/res.h"
#include "image/record.h"
#include "kind/ns.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <iconv.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK (64u << 10)

static void own_reader_release(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}
static void own_writer_release(struct archive **a)
{
	if (*a)
		archive_write_free(*a);
}
static void own_entry_release(struct archive_entry **e)
{
	if (*e)
		archive_entry_free(*e);
}
#define own_reader __attribute__((cleanup(own_reader_release)))
#define own_writer __attribute__((cleanup(own_writer_release)))
#define own_entry __attribute__((cleanup(own_entry_release)))

static int tar_fail(struct session *s, struct archive *a, const char *what, const char *doing)
{
	return session_fail(s, -EINVAL, "mount %s: %s its files: %s", what, doing,
			    archive_error_string(a) ? archive_error_string(a) : "unknown error");
}

/* Data of the file that disk stands at, hole after hole. */
static int put_data(struct session *s, struct archive *disk, struct archive *out, const char *what)
{
	static const char zeroes[BLOCK];
	const void *buf;
	int64_t offset, at = 0;
	size_t n;
	int r;

	while ((r = archive_read_data_block(disk, &buf, &n, &offset)) == ARCHIVE_OK) {
		while (at < offset) { /* the writer leaves out what the entry calls a hole */
			size_t hole = offset - at < (int64_t)BLOCK ? (size_t)(offset - at) : BLOCK;

			if (archive_write_data(out, zeroes, hole) < 0)
				return tar_fail(s, out, what, "store");
			at += hole;
		}
		if (archive_write_data(out, buf, n) < 0)
			return tar_fail(s, out, what, "store");
		at += n;
	}
	return r == ARCHIVE_EOF ? 0 : tar_fail(s, disk, what, "read");
}

static int put_entry(struct session *s, struct archive *disk, struct archive *out,
		     struct archive_entry *e, const char *what)
{
	if (archive_entry_filetype(e) == AE_IFSOCK)
		return 0;
	if (archive_write_header(out, e) < ARCHIVE_WARN)
		return tar_fail(s, out, what, "store");
	if (archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e) &&
	    archive_entry_size(e) > 0)
		return put_data(s, disk, out, what);
	return 0;
}

/* "./f" of what shows /a/b is "./a/b/f" */
static void put_below(struct archive_entry *e, const char *root)
{
	const char *name = archive_entry_pathname(e);
	own_mem char *full = NULL;

	if (!strcmp(root, "/") || !name)
		return;
	full = xprintf(".%s%s", root, name + (*name == '.'));
	archive_entry_set_pathname(e, full);
}

static int put_all(struct session *s, struct archive *disk, struct archive *out, const char *root,
		   struct archive_entry_linkresolver *links, const char *what)
{
	int r = 0;

	while (r == 0) {
		own_entry struct archive_entry *e = archive_entry_new();
		struct archive_entry *spare = NULL;
		int got = archive_read_next_header2(disk, e);

		if (got == ARCHIVE_EOF)
			break;
		if (got < ARCHIVE_WARN) {
			r = tar_fail(s, disk, what, "read");
			break;
		}
		archive_read_disk_descend(disk);
		put_below(e, root);
		archive_entry_linkify(links, &e, &spare);
		r = e ? put_entry(s, disk, out, e, what) : 0;
	}
	return r;
}

/* A mount may show a single file. */
static int put_file(struct session *s, struct archive *disk, struct archive *out, const struct mnt_part *part,
		    const char *what)
{
	own_entry struct archive_entry *e = archive_entry_new();
	own_mem char *link = xprintf("thread-self/fd/%d", part->fd), *buf = xalloc(BLOCK);
	own_fd int fd = -1;
	struct stat st;
	ssize_t n = 0;

	if (fstatat(part->fd, "", &st, AT_EMPTY_PATH) < 0)
		return session_fail(s, -errno, "mount %s: read what it shows", what);
	if (S_ISREG(st.st_mode) && (fd = openat(ns_proc(s), link, O_RDONLY | O_CLOEXEC)) < 0)
		return session_fail(s, -errno, "mount %s: open its file", what);
	archive_entry_copy_pathname(e, "");
	put_below(e, part->root);
	archive_entry_copy_stat(e, &st);
	if (fd >= 0 && archive_read_disk_entry_from_file(disk, e, fd, &st) < ARCHIVE_WARN)
		return tar_fail(s, disk, what, "read");
	if (archive_entry_filetype(e) == AE_IFSOCK)
		return 0;
	if (archive_write_header(out, e) < ARCHIVE_WARN)
		return tar_fail(s, out, what, "store");
	while (fd >= 0 && (n = read(fd, buf, BLOCK)) > 0)
		if (archive_write_data(out, buf, n) < 0)
			return tar_fail(s, out, what, "store");
	return n < 0 ? session_fail(s, -errno, "mount %s: read its file", what) : 0;
}

static int put_part(struct session *s, struct archive *out, const struct mnt_part *part,
		    struct archive_entry_linkresolver *links, const char *what)
{
	own_reader struct archive *disk = archive_read_disk_new();

	archive_read_disk_set_symlink_physical(disk);
	if (fchdir(part->fd) < 0)
		return errno == ENOTDIR ? put_file(s, disk, out, part, what)
					: session_fail(s, -errno, "mount %s: enter it", what);
	if (archive_read_disk_open(disk, ".") != ARCHIVE_OK)
		return tar_fail(s, disk, what, "read");
	return put_all(s, disk, out, part->root, links, what);
}

void mnt_tar_ready(void)
{
	iconv_t c = iconv_open("UTF-8", "ANSI_X3.4-1968");

	if (c != (iconv_t)-1)
		iconv_close(c);
}

int mnt_tar_write(struct session *s, uint32_t dev, const char *what, size_t n, const struct mnt_part *parts)
{
	own_writer struct archive *out = archive_write_new();
	struct archive_entry_linkresolver *links;
	own_fd int fd = -1;
	char name[64];
	int r = 0;

	snprintf(name, sizeof(name), "tmpfs-dev-%u.tar.gz.img", dev);
	session_unlinkat(s, s->images, name);
	fd = session_openat(s, s->images, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (fd < 0)
		return session_fail(s, fd, "mount %s: create %s", what, name);
	archive_write_add_filter_gzip(out);
	archive_write_set_filter_option(out, "gzip", "compression-level", "1");
	archive_write_set_format_pax(out); /* nanoseconds too */
	if (archive_write_open_fd(out, fd) != ARCHIVE_OK)
		return tar_fail(s, out, what, "store");
	links = archive_entry_linkresolver_new();
	archive_entry_linkresolver_set_strategy(links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_part(s, out, &parts[i], links, what);
	archive_entry_linkresolver_free(links);
	if (r == 0 && archive_write_close(out) != ARCHIVE_OK)
		r = tar_fail(s, out, what, "store");
	return r;
}

/* ---- reading ---- */

static int get_data(struct session *s, struct archive *in, struct archive *disk, const char *what)
{
	const void *buf;
	int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(in, &buf, &n, &offset)) == ARCHIVE_OK)
		if (archive_write_data_block(disk, buf, n, offset) < ARCHIVE_OK)
			return tar_fail(s, disk, what, "make");
	return r == ARCHIVE_EOF ? 0 : tar_fail(s, in, what, "read the stored copy of");
}

/* *top: modification time of the root, which libarchive leaves alone */
static int get_all(struct session *s, struct archive *in, struct archive *disk, const char *what,
		   struct timespec *top)
{
	struct archive_entry *e;
	const char *name;
	int r = 0, got;

	while (r == 0 && (got = archive_read_next_header(in, &e)) != ARCHIVE_EOF) {
		if (got < ARCHIVE_WARN)
			return tar_fail(s, in, what, "read the stored copy of");
		name = archive_entry_pathname(e);
		if (name && (!strcmp(name, ".") || !strcmp(name, "./")) && archive_entry_mtime_is_set(e))
			*top = (struct timespec){ .tv_sec = archive_entry_mtime(e),
						  .tv_nsec = archive_entry_mtime_nsec(e) };
		if (archive_write_header(disk, e) < ARCHIVE_WARN)
			return tar_fail(s, disk, what, "make");
		r = get_data(s, in, disk, what);
		if (r == 0 && archive_write_finish_entry(disk) < ARCHIVE_WARN)
			r = tar_fail(s, disk, what, "make");
	}
	return r;
}

int mnt_tar_read(struct session *s, uint32_t dev, uint32_t mnt_id, int dir, const char *what)
{
	own_reader struct archive *in = archive_read_new();
	own_writer struct archive *disk = archive_write_disk_new();
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	own_image struct image img = { 0 };
	int r = image_open(s, &img, 0, "tmpfs-dev-%u.tar.gz.img", dev);

	if (r == 1) /* as old versions named it */
		r = image_open(s, &img, 0, "tmpfs-%u.tar.gz.img", mnt_id);
	if (r != 0)
		return r < 0 ? r : 0;
	if (fchdir(dir) < 0)
		return session_fail(s, -errno, "mount %s: enter it", what);
	archive_read_support_format_tar(in);
	archive_read_support_filter_gzip(in);
	archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM |
						     ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
						     ARCHIVE_EXTRACT_ACL | ARCHIVE_EXTRACT_SPARSE |
						     ARCHIVE_EXTRACT_SECURE_NODOTDOT |
						     ARCHIVE_EXTRACT_SECURE_SYMLINKS |
						     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
	if (archive_read_open_fd(in, img.fd, BLOCK) != ARCHIVE_OK)
		return tar_fail(s, in, what, "read the stored copy of");
	r = get_all(s, in, disk, what, &times[1]);
	if (r == 0 && archive_write_close(disk) < ARCHIVE_WARN)
		r = tar_fail(s, disk, what, "make");
	if (r == 0 && utimensat(dir, ".", times, 0) < 0)
		r = session_fail(s, -errno, "mount %s: set the time of its root", what);
	return r;
}
