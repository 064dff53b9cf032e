// SPDX-License-Identifier: Apache-2.0
/*
 * Names are kept byte by byte, as getsockname() must give them back. A path is therefore bound as it was
 * given, with the root and the directory it was given in: the tasks' own, or, if the file had been
 * removed, an empty file system that nobody else sees and that ends with the socket. A file that has been renamed
 * is bound below a directory beside its place, and moved there. Who has bound a path may have entered another root since,
 * or that root may be of another mount namespace.
 */
#include "kind/unix-name.h"

#include "base/res.h"
#include "base/text.h"
#include "kind/ghost.h"
#include "kind/ids.h"
#include "kind/ns.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/un.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define PATH_MAX_UNIX UNIX_PATH_MAX /* 108 */
#define DELETED " (deleted)"

static bool is_path(const UnixSkEntry *e)
{
	return e->name.len && e->name.data[0];
}

/* without the NUL that follows a path on the wire */
static size_t name_len(const UnixSkEntry *e)
{
	return e->name.len - (is_path(e) && !e->name.data[e->name.len - 1]);
}

const char *unix_name_text(const UnixSkEntry *e, char *buf)
{
	if (!e->name.len)
		return "without a name";
	snprintf(buf, 120, "%s%.*s", is_path(e) ? "" : "@", (int)name_len(e) - !is_path(e),
		 (const char *)e->name.data + !is_path(e));
	return buf;
}

static bool file_name_is_sound(const UnixSkEntry *e)
{
	const char *base = strrchr(e->file_name, '/');

	return is_path(e) && e->file_name[0] == '/' && strlen(e->file_name) < PATH_MAX && base[1] &&
	       strlen(base) < PATH_MAX_UNIX;
}

static bool same_text(const char *a, const char *b)
{
	return !a == !b && (!a || !strcmp(a, b));
}

int unix_name_check(struct session *s, const UnixSkEntry *e)
{
	if (e->name.len > PATH_MAX_UNIX + 1 || (e->name.len && name_len(e) > PATH_MAX_UNIX) ||
	    (is_path(e) && memchr(e->name.data, 0, name_len(e))) ||
	    (e->name_dir && e->name_dir[0] != '/') || (e->name_root && e->name_root[0] != '/') || (e->file_name && !file_name_is_sound(e)))
		return session_fail(s, -EBADMSG, "files.img: the name of unix socket 0x%x is damaged", e->id);
	return 0;
}

bool unix_name_same(const UnixSkEntry *a, const UnixSkEntry *b)
{
	return a->name.len && a->name.len == b->name.len &&
	       !memcmp(a->name.data, b->name.data, a->name.len) && same_text(a->name_dir, b->name_dir) &&
	       same_text(a->name_root, b->name_root) && a->mnt_id == b->mnt_id;
}

/* ---- dump ---- */

static bool leads_to(int root, const char *path, const struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_IN_ROOT };
	own_fd int fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat now;

	return fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/* Where the names begin in the file's mount namespace. */
struct place {
	struct session *s;
	const struct task *home; /* is in that namespace */
	int root;
	const char *top; /* its path there */
	int file;
	const struct stat *st;
};

static char *path_of(int fd)
{
	char path[40], *ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return text_readlink(AT_FDCWD, path, &ret) < 0 ? NULL : ret;
}

/* A path of that namespace, as seen from the root; NULL: not below it. Owned by the caller. */
static char *path_below(const char *path, const char *top)
{
	size_t n = top[1] ? strlen(top) : 0;

	if (strncmp(path, top, n) || (path[n] && path[n] != '/'))
		return NULL;
	return xstrdup(path[n] ? path + n : "/");
}

/* Where the file is, as seen from the root; NULL if that is unknown. Owned by the caller. */
static char *file_path(const struct place *p)
{
	own_mem char *link = path_of(p->file);
	size_t n;

	if (!link || link[0] != '/')
		return NULL;
	n = strlen(link);
	if (!p->st->st_nlink && n > strlen(DELETED) && !strcmp(link + n - strlen(DELETED), DELETED))
		link[n - strlen(DELETED)] = 0;
	return path_below(link, p->top);
}

/* The directory that, with the relative name, gives that path; or NULL. Owned by the caller. */
static char *dir_by_path(const char *path, const char *name)
{
	size_t n, m;

	while (name[0] == '.' && name[1] == '/')
		name += 2;
	n = path ? strlen(path) : 0;
	m = strlen(name);
	if (n <= m || path[n - m - 1] != '/' || strcmp(path + n - m, name))
		return NULL;
	return n == m + 1 ? xstrdup("/") : strndup(path, n - m - 1);
}

/* A name like "../x": which task's directory does it fit? */
static char *dir_by_tasks(const struct place *p, const char *name)
{
	for (size_t i = 0; i < p->s->tree->n; i++) {
		own_mem char *cwd = NULL, *dir = NULL, *path = NULL;

		if (p->s->tree->all[i]->proc < 0 || text_readlink(p->s->tree->all[i]->proc, "cwd", &cwd) < 0)
			continue;
		dir = path_below(cwd, p->top);
		path = xprintf("%s/%s", dir ? dir : "", name);
		if (dir && leads_to(p->root, path, p->st))
			return take_mem(dir);
	}
	return NULL;
}

/* A name that was bound in another root than that: which task's does it fit? As seen from the root. */
static char *root_by_tasks(const struct place *p, const char *name)
{
	for (size_t i = 0; i < p->s->tree->n; i++) {
		const struct task *k = p->s->tree->all[i];
		own_fd int root = k->proc < 0 ? -1 : openat(k->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
		own_mem char *path = NULL, *below = NULL;

		if (root < 0 || !leads_to(root, name, p->st) || text_readlink(k->proc, "root", &path) < 0)
			continue;
		below = path_below(path, p->top);
		path = below ? xprintf("%s/%s", below, name) : path;
		if (below && leads_to(p->root, path, p->st))
			return take_mem(below);
	}
	return NULL;
}

/* "../x" was bound in some directory beside the file: any that is still there does as well. */
static char *dir_beside(int root, const char *path, const char *name)
{
	own_mem char *base = path && text_starts(name, "../") ? dir_by_path(path, name + 3) : NULL;
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	own_dir DIR *d = NULL;
	struct dirent *e;
	char *dir = NULL;
	int fd;

	if (!base)
		return NULL;
	fd = syscall(SYS_openat2, root, base, &how, sizeof(how));
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && !dir && (e = readdir(d)))
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    asprintf(&dir, "%s/%s", base, e->d_name) < 0)
			dir = NULL;
	return dir;
}

/* A file that was linked to, and then removed by its first name: the other one beside it. */
static char *path_beside(int root, const char *path, const struct stat *st)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	own_mem char *base = strndup(path, strrchr(path, '/') - path + 1);
	int fd = syscall(SYS_openat2, root, base, &how, sizeof(how));
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat now;

	while (d && (e = readdir(d)))
		if (e->d_ino == st->st_ino && fstatat(dirfd(d), e->d_name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    now.st_dev == st->st_dev && now.st_ino == st->st_ino)
			return xprintf("%s%s", base, e->d_name);
	return NULL;
}

/* Where a file is by now that its socket's name does not lead to; NULL: nowhere. Owned by the caller. */
static char *path_now(const struct place *p)
{
	own_mem char *path = p->st->st_nlink ? file_path(p) : NULL;

	if (path && !leads_to(p->root, path, p->st)) {
		char *beside = path_beside(p->root, path, p->st);

		free(path);
		path = beside;
	}
	return path && strlen(strrchr(path, '/')) < PATH_MAX_UNIX ? take_mem(path) : NULL;
}

/* Sets name_dir of a relative name, name_root; returns whether the name still leads to the file. */
static bool note_place(const struct place *p, UnixSkEntry *e)
{
	own_mem char *name = strndup((char *)e->name.data, name_len(e));
	own_mem char *path = NULL, *whole = NULL;

	if (name[0] == '/') {
		if (!leads_to(p->root, name, p->st))
			e->name_root = root_by_tasks(p, name);
		return e->name_root || leads_to(p->root, name, p->st);
	}
	path = file_path(p);
	e->name_dir = dir_by_path(path, name);
	if (!e->name_dir)
		e->name_dir = dir_by_tasks(p, name);
	if (!e->name_dir)
		e->name_dir = dir_beside(p->root, path, name);
	if (!e->name_dir) {
		e->name_dir = xstrdup("/");
		return false;
	}
	whole = xprintf("%s/%s", e->name_dir, name);
	return leads_to(p->root, whole, p->st);
}

static int note_file(const struct place *p, UnixSkEntry *e)
{
	char text[120];

	e->file_perms = xalloc(sizeof(*e->file_perms));
	file_perms_entry__init(e->file_perms);
	e->file_perms->mode = p->st->st_mode;
	e->file_perms->uid = p->st->st_uid;
	e->file_perms->gid = p->st->st_gid;
	e->mnt_id = ghost_mount(p->home, p->file);
	e->has_mnt_id = e->mnt_id > 0;
	if (!e->has_mnt_id)
		e->mnt_id = -1;
	return owner_in(p->s, &e->file_perms->uid, &e->file_perms->gid, "unix socket %s: its file", unix_name_text(e, text));
}

/* Source: the socket's own file, which the kernel opens for us (SIOCUNIXFILE), whatever its name now. */
int unix_name_note(struct session *s, struct task *task, int fd, UnixSkEntry *e)
{
	own_fd int file = is_path(e) ? fd_high(ioctl(fd, SIOCUNIXFILE)) : -1, root = -1;
	own_mem char *top = NULL;
	struct place p = { .s = s, .file = file };
	char text[120];
	struct stat st;

	if (!is_path(e))
		return 0;
	if (file < 0 || fstat(file, &st) < 0)
		return session_fail(s, -errno, "unix socket %s: find its file", unix_name_text(e, text));
	p.st = &st;
	p.home = ghost_home(s, task, file);
	p.root = root = ghost_root(p.home);
	top = root < 0 ? NULL : path_of(root);
	if (!top)
		return session_fail(s, -errno, "unix socket %s: find the root it is below", unix_name_text(e, text));
	p.top = top;
	if (note_file(&p, e) < 0)
		return -ENOTSUP;
	if (note_place(&p, e))
		return 0;
	e->file_name = path_now(&p);
	if (e->file_name)
		return 0;
	if (st.st_nlink)
		session_warn(s, "unix socket %s: its file is not where it was, nor beside it; it is kept as removed",
			     unix_name_text(e, text));
	e->has_deleted = e->deleted = true;
	return 0;
}

/* ---- restore ---- */

static socklen_t addr_of(const UnixSkEntry *e, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, e->name.data, name_len(e));
	return offsetof(struct sockaddr_un, sun_path) + name_len(e);
}

/* May the file that is in the way go? Only a socket that nobody listens to; asked without connecting. */
static bool is_stale(const struct sockaddr_un *a, socklen_t len)
{
	char path[PATH_MAX_UNIX + 1] = "";
	own_fd int probe = fd_high(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	struct stat st;

	memcpy(path, a->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	return probe >= 0 && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(probe, (const struct sockaddr *)a, len) < 0 && errno == ECONNREFUSED &&
	       unlink(path) == 0;
}

/* In the right root and directory. */
static int bind_here(struct session *s, int fd, const UnixSkEntry *e)
{
	char text[120], path[PATH_MAX_UNIX + 1] = "";
	struct sockaddr_un a;
	socklen_t len = addr_of(e, &a);
	int r = bind(fd, (struct sockaddr *)&a, len);
	bool taken = r < 0 && errno == EADDRINUSE;
	uint32_t uid, gid;

	unix_name_text(e, text);
	if (taken && is_path(e) && is_stale(&a, len)) {
		r = bind(fd, (struct sockaddr *)&a, len);
		taken = r < 0 && errno == EADDRINUSE;
	}
	if (taken)
		return session_fail(s, -EADDRINUSE,
				    "unix socket %s: its name is taken; end the program that has it, or remove that file",
				    text);
	if (r < 0)
		return session_fail(s, -errno, "unix socket %s: bind", text);
	if (!is_path(e) || !e->file_perms)
		return 0;
	memcpy(path, e->name.data, name_len(e));
	uid = e->file_perms->uid;
	gid = e->file_perms->gid;
	r = owner_out(s, &uid, &gid, "unix socket %s: its file", text);
	if (r < 0)
		return r;
	/* the owner first: changing it may take bits from the mode */
	if (lchown(path, uid, gid) < 0 ||
	    chmod(path, e->file_perms->mode & 07777) < 0)
		return session_fail(s, -errno, "unix socket %s: set owner and mode of its file", text);
	return 0;
}

/* Directories that lead to the name, in the directory we are in. */
static int make_parents(const UnixSkEntry *e)
{
	char path[PATH_MAX_UNIX + 1] = "";

	memcpy(path, e->name.data, name_len(e));
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* An empty file system, mounted nowhere: it lives as long as somebody has something of it open. */
static int nowhere(struct session *s)
{
	own_fd int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return session_fail(s, -errno, "make a place for removed files of sockets (tmpfs)");
	fd = fd_high(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0));
	return fd < 0 ? session_fail(s, -errno, "make a place for removed files of sockets (tmpfs)") : fd;
}

static int bind_nowhere(struct session *s, int fd, const UnixSkEntry *e)
{
	char path[PATH_MAX_UNIX + 1] = "", text[120];
	own_fd int place = nowhere(s);
	int r;

	if (place < 0)
		return place;
	if (fchdir(place) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "enter a place for removed files of sockets");
	r = make_parents(e);
	if (r < 0)
		return session_fail(s, r, "unix socket %s: make directories for it", unix_name_text(e, text));
	r = bind_here(s, fd, e);
	memcpy(path, e->name.data, name_len(e));
	if (r == 0 && unlink(path) < 0)
		r = session_fail(s, -errno, "unix socket %s: remove its file", text);
	return r;
}

/* Nothing, or what is left of the same socket. */
static int place_free(struct session *s, int dir, const char *base, const UnixSkEntry *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[120];
	struct stat st;

	memcpy(a.sun_path, base, strlen(base) + 1);
	if (fchdir(dir) == 0 && (lstat(base, &st) < 0 || is_stale(&a, sizeof(a))))
		return 0;
	return session_fail(s, -EADDRINUSE,
			    "unix socket %s: its file %s is taken; end the program that has it, or remove that file",
			    unix_name_text(e, text), e->file_name);
}

/* The directories that make_parents() made, and the one in which it was done. */
static void remove_parents(const UnixSkEntry *e)
{
	char path[PATH_MAX_UNIX + 1] = "", *p;

	memcpy(path, e->name.data, name_len(e));
	while ((p = strrchr(path, '/')) && p > path) {
		*p = 0;
		rmdir(path);
	}
}

/* In an empty directory as root, so that the name is free; then the file goes to its place. */
static int bind_inside(struct session *s, int fd, const UnixSkEntry *e, int room, int dir, const char *base)
{
	char path[PATH_MAX_UNIX + 1] = "", text[120];
	int r;

	if (fchdir(room) < 0 || chroot(".") < 0)
		return session_fail(s, -errno, "unix socket %s: enter a directory for it", unix_name_text(e, text));
	r = make_parents(e);
	if (r < 0)
		r = session_fail(s, r, "unix socket %s: make directories for it", unix_name_text(e, text));
	if (r == 0)
		r = bind_here(s, fd, e);
	memcpy(path, e->name.data, name_len(e));
	if (r == 0 && renameat(AT_FDCWD, path, dir, base) < 0)
		r = session_fail(s, -errno, "unix socket %s: move its file to %s", unix_name_text(e, text), e->file_name);
	unlink(path);
	remove_parents(e);
	return r;
}

static int bind_renamed(struct session *s, int fd, const UnixSkEntry *e)
{
	const char *base = strrchr(e->file_name, '/') + 1;
	own_mem char *in = strndup(e->file_name, base - e->file_name);
	own_mem char *room = xprintf(".stasis-%d-%x", getpid(), e->id);
	own_fd int dir = fd_high(open(in, O_PATH | O_DIRECTORY | O_CLOEXEC)), inside = -1;
	int r;

	if (dir < 0)
		return session_fail(s, -errno, "unix socket in %s: open that directory", in);
	r = place_free(s, dir, base, e);
	if (r < 0)
		return r;
	if (mkdirat(dir, room, 0700) < 0 ||
	    (inside = fd_high(openat(dir, room, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))) < 0)
		return session_fail(s, -errno, "unix socket in %s: make a directory there", in);
	r = bind_inside(s, fd, e, inside, dir, base);
	unlinkat(dir, room, AT_REMOVEDIR);
	return r;
}

int unix_name_bind(struct session *s, int fd, const UnixSkEntry *e)
{
	int r, back;

	if (!e->name.len)
		return 0;
	if (!is_path(e))
		return bind_here(s, fd, e);
	r = ns_enter_root(s, e->mnt_id > 0 ? e->mnt_id : 0);
	if (r < 0)
		return r;
	if (e->name_root && (chdir(e->name_root) < 0 || chroot(".") < 0))
		r = session_fail(s, -errno, "unix socket in %s: enter that root", e->name_root);
	else if (e->deleted)
		r = bind_nowhere(s, fd, e);
	else if (e->file_name)
		r = bind_renamed(s, fd, e);
	else if (e->name_dir && chdir(e->name_dir) < 0)
		r = session_fail(s, -errno, "unix socket in %s: enter that directory", e->name_dir);
	else
		r = bind_here(s, fd, e);
	back = ns_leave_root(s);
	return r < 0 ? r : back;
}

/* The file itself is named, by a descriptor of it: names may lead elsewhere by now. */
int unix_name_connect(struct session *s, int fd, int to, const UnixSkEntry *e)
{
	char text[120];
	own_fd int file = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = addr_of(e, &a);

	unix_name_text(e, text);
	if (!e->name.len)
		return session_fail(s, -EBADMSG, "files.img: unix socket 0x%x cannot be connected to", e->id);
	if (is_path(e)) {
		file = fd_high(ioctl(to, SIOCUNIXFILE));
		if (file < 0)
			return session_fail(s, -errno, "unix socket %s: find its file", text);
		memset(a.sun_path, 0, sizeof(a.sun_path));
		snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", file);
		len = sizeof(a);
	}
	if (connect(fd, (struct sockaddr *)&a, len) < 0)
		return session_fail(s, -errno, "unix socket %s: connect to it", text);
	return 0;
}

/* An address that leads a task to that file, from where its own root is as yet; 0: there is none. */
static socklen_t reach(const struct task *by, int to, const UnixSkEntry *e, struct sockaddr_un *a)
{
	own_fd int root = openat(by->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC), file = -1;
	char path[2 * PATH_MAX_UNIX] = "";
	struct stat st;
	int n;

	if (!is_path(e))
		return e->name.len ? addr_of(e, a) : 0;
	if (e->deleted || (e->name.data[0] != '/' && !e->name_dir))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s%.*s", e->name_root ? e->name_root : "", e->name_dir ? e->name_dir : "",
		     e->name_dir ? "/" : "", (int)name_len(e), (const char *)e->name.data);
	file = fd_high(ioctl(to, SIOCUNIXFILE));
	if (n >= PATH_MAX_UNIX || file < 0 || fstat(file, &st) < 0 || !leads_to(root, path, &st))
		return 0;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, n);
	return offsetof(struct sockaddr_un, sun_path) + n;
}

int unix_name_connect_by(struct session *s, const struct unix_caller *c, int num, int fd, int to,
			 const UnixSkEntry *e)
{
	struct sockaddr_un a;
	socklen_t len = c->task && num >= 0 ? reach(c->task, to, e, &a) : 0;

	if (len && unix_caller_connect(s, c, num, (struct sockaddr *)&a, len) == 0)
		return 0;
	return unix_name_connect(s, fd, to, e);
}

int unix_name_connect_out(struct session *s, int fd, const UnixSkEntry *e)
{
	struct sockaddr_un a;
	socklen_t len = addr_of(e, &a);
	char text[120];
	int r, why = 0, back;

	if (!e->name.len)
		return session_fail(s, -ENOTSUP, "unix socket %u outside the tree has no name to connect to",
				    e->ino);
	r = ns_enter_root(s, 0);
	if (r < 0)
		return r;
	if (e->name_dir && chdir(e->name_dir) < 0)
		why = -errno;
	if (!why && connect(fd, (struct sockaddr *)&a, len) < 0)
		why = -errno;
	back = ns_leave_root(s);
	/* bound outside the container: its name there */
	if (back == 0 && why && !e->name_dir && connect(fd, (struct sockaddr *)&a, len) == 0)
		why = 0;
	if (why)
		return session_fail(s, why, "unix socket %s outside the tree: connect to it; is that program running?",
				    unix_name_text(e, text));
	return back;
}
