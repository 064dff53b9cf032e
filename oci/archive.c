// SPDX-License-Identifier: Apache-2.0
#include "oci/archive.h"

#include "base/list.h"
#include "base/text.h"
#include "oci/layout.h"
#include "oci/sha256.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define BLOCK (1u << 20)
#define SMALL (16 << 20) /* bytes; such a file is unpacked in any case: command lines are in there */
#define ENTRIES_MAX 1000000
#define ENTRY_MAX (1ull << 40) /* bytes of one file, and of all that are not kept */

static int fail(char *why, size_t n, int r, const char *file, const char *doing, const char *reason)
{
	snprintf(why, n, "archive %.300s: %s%s%s", file, doing, *doing ? ": " : "", reason);
	return r;
}

static int fail_lib(char *why, size_t n, const char *file, const char *doing, struct archive *a)
{
	return fail(why, n, -EIO, file, doing, archive_error_string(a) ? archive_error_string(a) : "unknown error");
}

static bool ends(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

int archive_filter_of(const char *word, const char *file)
{
	if (!word)
		return ends(file, ".gz") || ends(file, ".tgz")	? FILTER_GZIP :
		       ends(file, ".zst") || ends(file, ".tzst") ? FILTER_ZSTD :
								   FILTER_NONE;
	return !strcmp(word, "none") ? FILTER_NONE : !strcmp(word, "gzip") ? FILTER_GZIP :
	       !strcmp(word, "zstd") ? FILTER_ZSTD : -EINVAL;
}

void dir_remove(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0)
			dir_remove(fd, e->d_name);
	}
	unlinkat(at, name, AT_REMOVEDIR);
}

/* ---- packing ---- */

struct pack {
	struct archive *out;
	const char *file;
	char *why;
	size_t n;
};

static int pack_data(struct pack *p, int fd, uint64_t left)
{
	own_mem char *buf = xalloc(BLOCK);

	while (left) {
		ssize_t got = read(fd, buf, left < BLOCK ? left : BLOCK);

		if (got <= 0)
			return fail(p->why, p->n, -EIO, p->file, "read", got ? strerror(errno) : "a file became shorter");
		if (archive_write_data(p->out, buf, got) < 0)
			return fail_lib(p->why, p->n, p->file, "write", p->out);
		left -= got;
	}
	return 0;
}

static int pack_one(struct pack *p, int dir, const char *prefix, const char *name)
{
	own_entry struct archive_entry *e = archive_entry_new();
	own_mem char *path = xprintf("%s%s", prefix, name), *link = NULL;
	own_fd int fd = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(p->why, p->n, -errno, p->file, path, strerror(errno));
	if (S_ISREG(st.st_mode))
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (S_ISREG(st.st_mode) && (fd < 0 || fstat(fd, &st) < 0))
		return fail(p->why, p->n, -errno, p->file, path, strerror(errno));
	if (S_ISLNK(st.st_mode) && text_readlink(dir, name, &link) < 0)
		return fail(p->why, p->n, -EIO, p->file, path, "cannot read this link");
	archive_entry_copy_stat(e, &st);
	archive_entry_set_pathname(e, path);
	archive_entry_set_nlink(e, 1);
	if (link)
		archive_entry_set_symlink(e, link);
	if (archive_write_header(p->out, e) < ARCHIVE_WARN)
		return fail_lib(p->why, p->n, p->file, "write", p->out);
	return fd >= 0 ? pack_data(p, fd, st.st_size) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* every file of the directory, in order, so that equal checkpoints are equal archives */
static int pack_dir(struct pack *p, int at, const char *name)
{
	own_mem char *prefix = xprintf("%s/", name);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct {
		char **v;
		size_t n, max;
	} names = { 0 };
	struct dirent *e;

	r = d ? pack_one(p, at, "", name) : fail(p->why, p->n, -errno, p->file, name, strerror(errno));
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			*vec_add(&names) = xstrdup(e->d_name);
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), by_name);
	for (size_t i = 0; i < names.n; i++) {
		if (r == 0)
			r = pack_one(p, fd, prefix, names.v[i]);
		free(names.v[i]);
	}
	free(names.v);
	return r;
}

static int pack_all(struct pack *p, int dir)
{
	static const char *const head[] = { "config.dump", "spec.dump", "network.status", "bind.mounts", "stats-dump",
					    "dump.log" };
	static const char *const tail[] = { "rootfs-diff.tar", "deleted.files" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(head); i++)
		r = pack_one(p, dir, "", head[i]);
	if (r == 0)
		r = pack_dir(p, dir, "checkpoint");
	if (r == 0 && faccessat(dir, "volumes", F_OK, 0) == 0)
		r = pack_dir(p, dir, "volumes");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tail); i++)
		r = pack_one(p, dir, "", tail[i]);
	return r;
}

static int pack_layout(struct pack *p, int dir)
{
	static const char *const head[] = { "oci-layout", "index.json", "blobs" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(head); i++)
		r = pack_one(p, dir, "", head[i]);
	return r < 0 ? r : pack_dir(p, dir, "blobs/sha256");
}

static int pack_file(int dir, int at, const char *file, enum archive_filter filter,
		     int (*contents)(struct pack *p, int dir), char *why, size_t n)
{
	own_writer struct archive *out = archive_write_new();
	own_mem char *part = xprintf("%s.part", file);
	own_fd int fd = openat(at, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct pack p = { out, file, why, n };
	int r = 0;

	if (fd < 0)
		return fail(why, n, -errno, file, "create", strerror(errno));
	archive_write_set_format_pax_restricted(out);
	if (filter == FILTER_GZIP)
		r = archive_write_add_filter_gzip(out);
	else if (filter == FILTER_ZSTD)
		r = archive_write_add_filter_zstd(out);
	/* a warning: it would execute a program for that */
	if (r != ARCHIVE_OK)
		r = fail(why, n, -ENOTSUP, file, "compress", "this build of libarchive cannot; use --compress none");
	else if (archive_write_open_fd(out, fd) != ARCHIVE_OK)
		r = fail_lib(why, n, file, "write", out);
	else
		r = contents(&p, dir);
	if (r == 0 && archive_write_close(out) != ARCHIVE_OK)
		r = fail_lib(why, n, file, "write", out);
	if (r == 0 && fsync(fd) < 0)
		r = fail(why, n, -errno, file, "write", strerror(errno));
	if (r == 0 && renameat(at, part, at, file) < 0)
		r = fail(why, n, -errno, file, "rename", strerror(errno));
	if (r < 0)
		unlinkat(at, part, 0);
	return r;
}

int archive_pack(int dir, int at, const char *file, enum archive_filter filter, char *why, size_t n)
{
	return pack_file(dir, at, file, filter, pack_all, why, n);
}

int archive_pack_layout(int dir, int at, const char *file, enum archive_filter filter, char *why, size_t n)
{
	return pack_file(dir, at, file, filter, pack_layout, why, n);
}

/* ---- unpacking ---- */

struct unpack {
	struct archive *in;
	const char *file;
	int dir;
	bool contents;
	uint64_t room, total;
	char *why;
	size_t n;
};

/* Directories that a checkpoint may have; below them there are plain files only. */
static bool known_dir(const char *name, size_t n)
{
	static const char *const names[] = { "checkpoint", "volumes", "artifacts", "pre-checkpoint" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], name, n))
			return true;
	return false;
}

/* One plain name, or one below a known directory; *sub says which. Nothing else is ever made. */
static bool plain(const char *path, size_t *sub)
{
	const char *slash = strchr(path, '/'), *name = slash ? slash + 1 : path;

	*sub = slash ? slash - path : 0;
	return *name && strlen(name) < 256 && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/') &&
	       (!slash || known_dir(path, *sub));
}

static bool climbs(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return true;
	}
	return *path == '/';
}

static bool bulky(const char *name)
{
	return text_starts(name, "pages-") || (ends(name, ".tar") && !text_starts(name, "tmpfs-"));
}

static int entry_dir(struct unpack *u, const char *path)
{
	if (!known_dir(path, strlen(path)))
		return 0;
	if (mkdirat(u->dir, path, 0700) < 0 && errno != EEXIST)
		return fail(u->why, u->n, -errno, u->file, path, strerror(errno));
	return 0;
}

static int entry_data(struct unpack *u, struct archive_entry *e, int fd, const char *path, bool keep)
{
	const void *buf;
	uint64_t end = 0;
	int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(u->in, &buf, &n, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || (uint64_t)offset > ENTRY_MAX || n > ENTRY_MAX - offset)
			return fail(u->why, u->n, -EFBIG, u->file, path, "is too large");
		end = offset + n;
		u->total += n;
		if (keep ? u->total > u->room : u->total > ENTRY_MAX)
			return fail(u->why, u->n, -ENOSPC, u->file, path,
				    keep ? "is more than there is room for" : "is too large");
		if (keep && !u->contents && end > (uint64_t)archive_entry_size(e) && archive_entry_size_is_set(e))
			return fail(u->why, u->n, -EBADMSG, u->file, path, "is larger than it says");
		if (keep && pwrite(fd, buf, n, offset) != (ssize_t)n)
			return fail(u->why, u->n, -EIO, u->file, path, strerror(errno));
	}
	if (r != ARCHIVE_EOF)
		return fail_lib(u->why, u->n, u->file, path, u->in);
	return ftruncate(fd, end) < 0 ? fail(u->why, u->n, -errno, u->file, path, strerror(errno)) : 0;
}

/* The one link that there may be: memory that did not change is in what was written before. */
static bool is_parent(struct archive_entry *e, const char *path)
{
	const char *to = archive_entry_filetype(e) == AE_IFLNK ? archive_entry_symlink(e) : NULL;

	return to && !strcmp(path, "checkpoint/parent") && !strcmp(to, "../pre-checkpoint");
}

static int entry_parent(struct unpack *u, const char *path)
{
	int r = entry_dir(u, "checkpoint");

	if (r == 0 && symlinkat("../pre-checkpoint", u->dir, path) < 0)
		r = fail(u->why, u->n, -errno, u->file, path, strerror(errno));
	return r;
}

static int entry_file(struct unpack *u, struct archive_entry *e, const char *path)
{
	bool keep;
	size_t sub;
	own_fd int fd = -1;

	if (!plain(path, &sub)) /* of no use to anybody here */
		return 0;
	if (is_parent(e, path))
		return entry_parent(u, path);
	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e))
		return fail(u->why, u->n, -EPERM, u->file, path, "is no plain file; a checkpoint has no other");
	if (archive_entry_size_is_set(e) && (uint64_t)archive_entry_size(e) > ENTRY_MAX)
		return fail(u->why, u->n, -EFBIG, u->file, path, "is too large");
	if (sub) {
		own_mem char *dir = xprintf("%.*s", (int)sub, path);
		int r = entry_dir(u, dir);

		if (r < 0)
			return r;
	}
	keep = u->contents || !bulky(sub ? path + sub + 1 : path) ||
	       (archive_entry_size_is_set(e) && archive_entry_size(e) <= SMALL);
	fd = openat(u->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(u->why, u->n, -errno, u->file, path,
			    errno == EEXIST ? "is there twice" : strerror(errno));
	return entry_data(u, e, fd, path, keep);
}

static int entry(struct unpack *u, struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e);
	own_mem char *path = xstrdup(name ? name : "");
	char *p = path;
	size_t n;

	if (climbs(p))
		return fail(u->why, u->n, -EPERM, u->file, p, "leads outside; this is no honest archive");
	while (text_starts(p, "./"))
		p += 2;
	n = strlen(p);
	while (n && p[n - 1] == '/')
		p[--n] = 0;
	if (!n || !strcmp(p, "."))
		return 0;
	return archive_entry_filetype(e) == AE_IFDIR ? entry_dir(u, p) : entry_file(u, e, p);
}

static uint64_t room_in(int dir)
{
	struct statvfs v;

	if (fstatvfs(dir, &v) < 0)
		return 0;
	return (uint64_t)v.f_bavail * v.f_frsize / 20 * 19;
}

/* xz and bzip2 by the library only: where it lacks one it would execute a program instead. */
static int filters_more(struct archive *in, int fd)
{
	static const unsigned char xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	unsigned char head[sizeof(xz)];

	if (pread(fd, head, sizeof(head), 0) != sizeof(head))
		return 0;
	if (!memcmp(head, xz, sizeof(xz)))
		return archive_read_support_filter_xz(in) == ARCHIVE_OK ? 0 : -ENOTSUP;
	if (!memcmp(head, "BZh", 3))
		return archive_read_support_filter_bzip2(in) == ARCHIVE_OK ? 0 : -ENOTSUP;
	return 0;
}

static int unpack_all(struct unpack *u)
{
	struct archive_entry *e;
	size_t count = 0;
	int r = 0, got;

	while (r == 0 && (got = archive_read_next_header(u->in, &e)) != ARCHIVE_EOF) {
		if (got < ARCHIVE_WARN)
			return fail_lib(u->why, u->n, u->file, "read", u->in);
		if (++count > ENTRIES_MAX)
			return fail(u->why, u->n, -E2BIG, u->file, "", "holds too many files for a checkpoint");
		r = entry(u, e);
	}
	return r;
}

static int archive_start(struct archive *in, int fd, const char *file, char *why, size_t n)
{
	archive_read_support_format_tar(in);
	archive_read_support_filter_gzip(in);
	if (archive_read_support_filter_zstd(in) != ARCHIVE_OK) /* it would execute a program */
		return fail(why, n, -ENOTSUP, file, "", "this build of libarchive lacks zstd");
	if (fd < 0)
		return 0;
	if (filters_more(in, fd) < 0)
		return fail(why, n, -ENOTSUP, file, "",
			    "is compressed with xz or bzip2, which this build of libarchive lacks; unpack it first");
	if (lseek(fd, 0, SEEK_SET) < 0 || archive_read_open_fd(in, fd, BLOCK) != ARCHIVE_OK)
		return fail_lib(why, n, file, "open", in);
	return 0;
}

/* an archive within an archive */
struct layer {
	struct archive *outer;
	char *buf;
	struct sha256 sum;
};

static la_ssize_t layer_read(struct archive *in, void *arg, const void **buf)
{
	struct layer *l = arg;
	la_ssize_t n = archive_read_data(l->outer, l->buf, BLOCK);

	if (n < 0) {
		archive_set_error(in, EIO, "%s", archive_error_string(l->outer));
		return -1;
	}
	sha256_add(&l->sum, l->buf, n);
	*buf = l->buf;
	return n;
}

static int layer_unpack(struct unpack *u, struct layer *l, const char *path)
{
	own_reader struct archive *in = archive_read_new();
	char sum[SHA256_TEXT];
	const void *rest;
	int r = archive_start(in, -1, u->file, u->why, u->n);

	if (r < 0)
		return r;
	if (archive_read_open(in, l, NULL, layer_read, NULL) != ARCHIVE_OK)
		return fail_lib(u->why, u->n, u->file, path, in);
	u->in = in;
	r = unpack_all(u);
	while (r == 0 && layer_read(in, l, &rest) > 0)
		;
	sha256_end(&l->sum, sum);
	if (r == 0 && strcmp(sum, strrchr(path, '/') + 1))
		r = fail(u->why, u->n, -EBADMSG, u->file, path, "is not what its name says; it was cut short or is damaged");
	return r;
}

static int image_unpack(struct unpack *u, int fd, const char *path)
{
	own_reader struct archive *outer = archive_read_new();
	own_mem char *buf = xalloc(BLOCK);
	struct layer l = { .outer = outer, .buf = buf };
	struct archive_entry *e;
	int r = archive_start(outer, fd, u->file, u->why, u->n);

	sha256_start(&l.sum);
	while (r == 0 && archive_read_next_header(outer, &e) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);

		if (name && !strcmp(text_starts(name, "./") ? name + 2 : name, path))
			return layer_unpack(u, &l, path);
	}
	return r < 0 ? r : fail(u->why, u->n, -EBADMSG, u->file, path, "is named by the image, but missing");
}

int archive_unpack(const char *file, int dir, bool contents, char *why, size_t n)
{
	own_reader struct archive *first = archive_read_new(), *in = archive_read_new();
	own_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct unpack u = { in, file, dir, contents, room_in(dir), 0, why, n };
	char path[128];
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(why, n, -errno, file, "open", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(why, n, -EINVAL, file, "", "is neither a file nor a directory");
	r = archive_start(first, fd, file, why, n);
	if (r == 0)
		r = layout_layer(first, file, path, why, n);
	if (r > 0)
		return image_unpack(&u, fd, path);
	if (r == 0)
		r = archive_start(in, fd, file, why, n);
	return r < 0 ? r : unpack_all(&u);
}
