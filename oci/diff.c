// SPDX-License-Identifier: Apache-2.0
/*
 * Kept:   added and changed files with owners, modes, times, extended attributes, hard links; new directories;
 *         the names of what was deleted.
 * Lost:   sockets; attributes of directories that the image has too.
 * Kernel: overlayfs: the upper directory holds what changed; a character device 0:0 there is a deleted file, a
 *         directory with trusted.overlay.opaque=y hides the one below.
 */
#include "oci/diff.h"

#include "base/list.h"
#include "base/text.h"
#include "oci/archive.h"
#include "oci/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define DIFF "rootfs-diff.tar"
#define DELETED "deleted.files"
#define DELETED_MAX 1000000
#define BLOCK (64u << 10)

struct texts_own {
	char **v;
	size_t n, max;
};

struct job {
	struct texts_own lower, deleted;
	struct archive *out;
	const char *what, *tar; /* for messages; the file that is made */
	size_t files;
	bool whole;  /* all files */
	bool volume; /* and the directory itself, and be it empty */
	char *why;
	size_t n;
};

static int job_fail(struct job *j, struct archive *a, const char *doing)
{
	snprintf(j->why, j->n, "%s: %s: %s", j->what, doing,
		 a && archive_error_string(a) ? archive_error_string(a) : strerror(errno));
	return -EIO;
}

/* ---- which layers ---- */

/* value of an option of the super block; owned */
static char *option(const char *options, const char *name)
{
	size_t n = strlen(name);
	const char *p = options;

	while (p && *p) {
		const char *end = p;

		while (*end && *end != ',')
			end += *end == '\\' && end[1] ? 2 : 1;
		if (!strncmp(p, name, n) && p[n] == '=')
			return xprintf("%.*s", (int)(end - p - n - 1), p + n + 1);
		p = *end ? end + 1 : NULL;
	}
	return NULL;
}

static void unslash(char *t)
{
	char *to = t;

	for (; *t; t++) {
		if (*t == '\\' && t[1])
			t++;
		*to++ = *t;
	}
	*to = 0;
}

/* a:b:c with \: inside */
static void lower_list(struct texts_own *list, const char *p)
{
	while (p && *p) {
		const char *end = p;
		char *one;

		while (*end && *end != ':')
			end += *end == '\\' && end[1] ? 2 : 1;
		one = xprintf("%.*s", (int)(end - p), p);
		unslash(one);
		if (*one == '/')
			*vec_add(list) = one;
		else
			free(one);
		p = *end ? end + 1 : NULL;
	}
}

static char *layers(const struct container *c, struct texts_own *lower)
{
	struct mounts m = { 0 };
	char *upper = NULL;

	if (c->pid && mounts_read(&m, c->pid) == 0)
		for (size_t i = 0; i < m.n; i++) {
			own_mem char *list = NULL;

			if (strcmp(m.v[i].at, "/") || strcmp(m.v[i].fs, "overlay") || upper)
				continue;
			upper = option(m.v[i].options, "upperdir");
			list = option(m.v[i].options, "lowerdir");
			lower_list(lower, list);
			if (upper)
				unslash(upper);
		}
	mounts_free(&m);
	return upper;
}

static bool below(struct job *j, const char *name)
{
	struct stat st;

	for (size_t i = 0; i < j->lower.n; i++) {
		own_mem char *path = xprintf("%s/%s", j->lower.v[i], name);

		if (lstat(path, &st) == 0)
			return !(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	}
	return false;
}

/* what an opaque directory hides */
static void hidden(struct job *j, const char *name, int upper)
{
	for (size_t i = 0; i < j->lower.n; i++) {
		own_mem char *path = xprintf("%s/%s", j->lower.v[i], name);
		own_dir DIR *d = opendir(path);
		struct dirent *e;

		while (d && (e = readdir(d))) {
			own_mem char *at = xprintf("%s/%s", name, e->d_name);
			struct stat st;

			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			    fstatat(upper, at, &st, AT_SYMLINK_NOFOLLOW) == 0 || j->deleted.n >= DELETED_MAX ||
			    !below(j, at))
				continue;
			*vec_add(&j->deleted) = xprintf("/%s", at);
		}
	}
}

/* ---- writing ---- */

static int put_data(struct job *j, struct archive *disk)
{
	static const char zeroes[BLOCK];
	const void *buf;
	int64_t offset, at = 0;
	size_t n;
	int r;

	while ((r = archive_read_data_block(disk, &buf, &n, &offset)) == ARCHIVE_OK) {
		while (at < offset) {
			size_t hole = offset - at < (int64_t)BLOCK ? (size_t)(offset - at) : BLOCK;

			if (archive_write_data(j->out, zeroes, hole) < 0)
				return job_fail(j, j->out, "store");
			at += hole;
		}
		if (archive_write_data(j->out, buf, n) < 0)
			return job_fail(j, j->out, "store");
		at += n;
	}
	return r == ARCHIVE_EOF ? 0 : job_fail(j, disk, "read");
}

/* overlayfs's own attributes mean nothing elsewhere */
static void attributes(struct archive_entry *e)
{
	own_entry struct archive_entry *copy = archive_entry_clone(e);
	const char *name;
	const void *value;
	size_t n;

	archive_entry_xattr_clear(e);
	archive_entry_xattr_reset(copy);
	while (archive_entry_xattr_next(copy, &name, &value, &n) == ARCHIVE_OK)
		if (!text_starts(name, "trusted.overlay."))
			archive_entry_xattr_add_entry(e, name, value, n);
}

static int put(struct job *j, struct archive *disk, struct archive_entry *e)
{
	attributes(e);
	if (archive_write_header(j->out, e) < ARCHIVE_WARN)
		return job_fail(j, j->out, "store");
	j->files++;
	if (archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e) && archive_entry_size(e) > 0)
		return put_data(j, disk);
	return 0;
}

/* Does this entry go into the tar? What it says besides is noted. */
static bool wanted(struct job *j, struct archive_entry *e, int upper)
{
	const char *name = archive_entry_pathname(e);
	char opaque = 0;

	if (archive_entry_filetype(e) == AE_IFSOCK)
		return false;
	if (j->whole)
		return true;
	if (archive_entry_filetype(e) == AE_IFCHR && archive_entry_rdev(e) == 0) {
		if (j->deleted.n < DELETED_MAX)
			*vec_add(&j->deleted) = xprintf("/%s", name);
		return false;
	}
	if (archive_entry_filetype(e) != AE_IFDIR)
		return true;
	if (getxattr(name, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y')
		hidden(j, name, upper);
	return !below(j, name);
}

static int walk(struct job *j, struct archive *disk, int upper)
{
	struct archive_entry_linkresolver *links = archive_entry_linkresolver_new();
	int r = 0;

	archive_entry_linkresolver_set_strategy(links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
	while (r == 0) {
		own_entry struct archive_entry *e = archive_entry_new();
		struct archive_entry *spare = NULL;
		int got = archive_read_next_header2(disk, e);
		const char *name;

		if (got == ARCHIVE_EOF)
			break;
		if (got < ARCHIVE_WARN) {
			r = job_fail(j, disk, "read");
			break;
		}
		archive_read_disk_descend(disk);
		name = archive_entry_pathname(e);
		if (!name || (!strcmp(name, ".") && !j->volume))
			continue;
		if (text_starts(name, "./")) {
			own_mem char *bare = xstrdup(name + 2);

			archive_entry_set_pathname(e, bare);
		}
		if (!wanted(j, e, upper))
			continue;
		archive_entry_linkify(links, &e, &spare);
		r = e ? put(j, disk, e) : 0;
	}
	archive_entry_linkresolver_free(links);
	return r;
}

/* The current directory is upper: libarchive names what it reads by it. */
static int tar(struct job *j, int dir, int upper)
{
	own_reader struct archive *disk = archive_read_disk_new();
	own_writer struct archive *out = archive_write_new();
	own_fd int fd = openat(dir, j->tar, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return job_fail(j, NULL, "create its tar");
	archive_write_set_format_pax_restricted(out);
	archive_read_disk_set_symlink_physical(disk);
	archive_read_disk_set_behavior(disk, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS);
	if (archive_write_open_fd(out, fd) != ARCHIVE_OK)
		return job_fail(j, out, "store");
	if (archive_read_disk_open(disk, ".") != ARCHIVE_OK)
		return job_fail(j, disk, "read");
	j->out = out;
	r = walk(j, disk, upper);
	if (r == 0 && archive_write_close(out) != ARCHIVE_OK)
		r = job_fail(j, out, "store");
	if (!j->files && !j->volume)
		unlinkat(dir, j->tar, 0);
	return r;
}

static int deleted_write(struct job *j, int dir)
{
	yajl_gen g;
	own_mem char *text = NULL;
	int r;

	if (!j->deleted.n)
		return 0;
	g = json_new();
	yajl_gen_array_open(g);
	for (size_t i = 0; i < j->deleted.n; i++)
		json_item(g, j->deleted.v[i]);
	yajl_gen_array_close(g);
	text = json_end(g);
	r = json_write(dir, DELETED, text);
	if (r < 0)
		snprintf(j->why, j->n, "%s: %s", DELETED, strerror(-r));
	return r;
}

static void texts_drop(struct texts_own *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
}

static int tar_of(struct job *j, const char *path, int dir)
{
	own_fd int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_fd int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (top < 0 || fchdir(top) < 0) {
		r = -errno;
		snprintf(j->why, j->n, "%s %.500s: %s", j->what, path, strerror(-r));
		return r;
	}
	r = tar(j, dir, top);
	if (fchdir(cwd) < 0 && r == 0)
		r = job_fail(j, NULL, "go back to the current directory");
	return r;
}

int diff_write(const struct container *c, int dir, bool whole, char *why, size_t n)
{
	struct job j = { .what = "root file system", .tar = DIFF, .whole = whole, .why = why, .n = n };
	own_mem char *upper = whole ? (c->rootfs ? xstrdup(c->rootfs) : NULL) : layers(c, &j.lower);
	int r = upper ? tar_of(&j, upper, dir) : 1;

	if (r == 0)
		r = deleted_write(&j, dir);
	texts_drop(&j.lower);
	texts_drop(&j.deleted);
	return r;
}

int diff_volume(const char *source, int dir, const char *name, char *why, size_t n)
{
	own_mem char *file = xprintf("volumes/%s.tar", name), *what = xprintf("volume %s", name);
	struct job j = { .what = what, .tar = file, .whole = true, .volume = true, .why = why, .n = n };

	if (mkdirat(dir, "volumes", 0700) < 0 && errno != EEXIST)
		return job_fail(&j, NULL, "make volumes/");
	return tar_of(&j, source, dir);
}

/* ---- reading ---- */

static int get_data(struct job *j, struct archive *in, struct archive *disk)
{
	const void *buf;
	int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(in, &buf, &n, &offset)) == ARCHIVE_OK)
		if (archive_write_data_block(disk, buf, n, offset) < ARCHIVE_OK)
			return job_fail(j, disk, "write");
	return r == ARCHIVE_EOF ? 0 : job_fail(j, in, "read " DIFF);
}

/* A device in an archive of unknown origin would be a way to the host's disks. */
static bool harmless(struct archive_entry *e)
{
	int t = archive_entry_filetype(e);

	return archive_entry_hardlink(e) || t == AE_IFREG || t == AE_IFDIR || t == AE_IFLNK || t == AE_IFIFO;
}

static int untar(struct job *j, int dir)
{
	own_reader struct archive *in = archive_read_new();
	own_writer struct archive *disk = archive_write_disk_new();
	own_fd int fd = openat(dir, DIFF, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct archive_entry *e;
	int r = 0, got;

	if (fd < 0)
		return errno == ENOENT ? 0 : job_fail(j, NULL, "open " DIFF);
	archive_read_support_format_tar(in);
	archive_read_support_filter_gzip(in); /* containerd's */
	archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
						     ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_ACL |
						     ARCHIVE_EXTRACT_SECURE_NODOTDOT |
						     ARCHIVE_EXTRACT_SECURE_SYMLINKS |
						     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
	if (archive_read_open_fd(in, fd, BLOCK) != ARCHIVE_OK)
		return job_fail(j, in, "read " DIFF);
	while (r == 0 && (got = archive_read_next_header(in, &e)) != ARCHIVE_EOF) {
		if (got < ARCHIVE_WARN)
			return job_fail(j, in, "read " DIFF);
		if (!harmless(e)) {
			snprintf(j->why, j->n, "%s: %.300s is a device, which is not taken from an archive", DIFF,
				 archive_entry_pathname(e) ? archive_entry_pathname(e) : "?");
			return -EPERM;
		}
		if (archive_write_header(disk, e) < ARCHIVE_WARN)
			return job_fail(j, disk, "write");
		r = get_data(j, in, disk);
		if (r == 0 && archive_write_finish_entry(disk) < ARCHIVE_WARN)
			r = job_fail(j, disk, "write");
	}
	if (r == 0 && archive_write_close(disk) < ARCHIVE_WARN)
		r = job_fail(j, disk, "write");
	return r;
}

/* The parent of path, links resolved inside of root only; a name without directories is left in *last. */
static int parent_in(int root, const char *path, const char **last)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	const char *slash = strrchr(path, '/');
	own_mem char *dir = slash ? xprintf("%.*s", (int)(slash - path), path) : xstrdup("");

	*last = slash ? slash + 1 : path;
	return syscall(SYS_openat2, root, *dir ? dir : ".", &how, sizeof(how));
}

static int undelete(struct job *j, int dir, int root)
{
	own_json yajl_val v = json_read(dir, DELETED);

	if (!v && errno == ENOENT)
		return 0;
	if (!v || !YAJL_IS_ARRAY(v) || json_n(v) > DELETED_MAX) {
		snprintf(j->why, j->n, "%s: is no list of names", DELETED);
		return -EBADMSG;
	}
	for (size_t i = 0; i < json_n(v); i++) {
		const char *path = json_string(json_at(v, i)), *last = "";
		own_fd int at = path ? parent_in(root, path, &last) : -1;

		if (at >= 0 && *last && strcmp(last, ".") && strcmp(last, "..") && unlinkat(at, last, 0) < 0 &&
		    (errno == EISDIR || errno == EPERM))
			dir_remove(at, last);
	}
	return 0;
}

int diff_apply(int dir, const char *rootfs, char *why, size_t n)
{
	struct job j = { .what = "root file system", .why = why, .n = n };
	own_fd int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_fd int root = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (root < 0 || fchdir(root) < 0) {
		snprintf(why, n, "root file system %.500s: %s", rootfs, strerror(errno));
		return -errno;
	}
	r = undelete(&j, dir, root);
	if (r == 0)
		r = untar(&j, dir);
	if (fchdir(cwd) < 0 && r == 0)
		r = job_fail(&j, NULL, "go back to the current directory");
	return r;
}
