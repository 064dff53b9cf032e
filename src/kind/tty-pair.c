// SPDX-License-Identifier: Apache-2.0
/*
 * tty-pair: pseudo-terminals made anew at restore, both sides of each at once, under their old index, in
 * the devpts that the tasks' /dev/ptmx belongs to, or another that they had them in.
 *
 * Kernel: drivers/tty/pty.c; a master gets the lowest free index; TIOCGPTPEER opens its slave wherever
 *         devpts is mounted. A controlling terminal is taken by the leader of the session itself.
 */
#include "kind/tty.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/ids.h"
#include "kind/mnt-list.h"
#include "kind/ns.h"
#include "task/lend.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>

struct pair {
	uint32_t line, index;
	const TtyInfoEntry *master, *slave; /* NULL: not in the image */
	int fd, peer;			    /* ours until finished; peer -1: the slave was never opened */
	struct stat st;			    /* of the slave */
	bool taken; /* the master's descriptor is somebody's */
	bool finished;
};

/* ---- what both halves share ---- */

void tty_key(char buf[40], uint64_t rdev, uint64_t dev)
{
	snprintf(buf, 40, "tty[%llx:%llx]", (unsigned long long)rdev, (unsigned long long)dev);
}

/* Input is processed later, by a worker, under the modes of then; TIOCSTI does it at once. */
static size_t type_in(int slave, const char *data, size_t n)
{
	size_t i = 0;

	while (i < n && i < TTY_QUEUE && ioctl(slave, TTY_TYPE_IN, data + i) == 0)
		i++;
	return i;
}

int tty_put(int master, int slave, bool on_master, const struct tty_modes *final, const char *data,
	    size_t n)
{
	/* lines stay lines (whether ICANON is set decides about the queue), but nothing is interpreted */
	struct tty_modes raw = { .cflag = final->cflag, .lflag = final->lflag & ICANON, .line = final->line };
	size_t typed;
	ssize_t done;

	if (ioctl(slave, TTY_SETS, &raw) < 0)
		return -errno;
	typed = on_master ? 0 : type_in(slave, data, n);
	done = n > typed ? write(on_master ? slave : master, data + typed, n - typed) : 0;
	if (on_master && n && done <= 0) { /* stopped by ^S, perhaps */
		ioctl(slave, TCXONC, TCOOFF);
		ioctl(slave, TCXONC, TCOON);
		done = write(slave, data, n);
	}
	if (ioctl(slave, TTY_SETS, final) < 0)
		return -errno;
	return done == (ssize_t)(n - typed) ? 0 : done < 0 ? -errno : -ENOSPC;
}

/* ---- the images ---- */

static int info_check(struct session *s, const TtyInfoEntry *e)
{
	if (e->type == TTY_TYPE__PTY && (!e->pty || e->pty->index > PTY_INDEX_MAX))
		return session_fail(s, -EBADMSG, "tty-info.img: terminal %u has no possible index", e->id);
	if (e->devpts && (e->devpts[0] != '/' || e->type != TTY_TYPE__PTY || e->id / 2 < TTY_LINES ||
			  e->id / 2 % TTY_LINES != e->pty->index))
		return session_fail(s, -EBADMSG, "tty-info.img: terminal %u: its devpts is damaged", e->id);
	if (!!e->termios != !!e->winsize || !!e->termios != !!e->termios_locked ||
	    (e->termios && (e->termios->n_c_cc < TTY_CC || e->termios_locked->n_c_cc < TTY_CC)))
		return session_fail(s, -EBADMSG, "tty-info.img: terminal %u: its modes are incomplete", e->id);
	return 0;
}

static int read_data(struct session *s)
{
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_TTY_DATA, "tty-data.img");

	if (r == 1)
		return 0;
	while (r == 0 && (r = image_read(&img, &tty_data_entry__descriptor, &m)) == 1) {
		map_put(session_map(s, "tty data"), ((TtyDataEntry *)m)->tty_id, m);
		r = 0;
	}
	return r;
}

static int read_all(struct session *s)
{
	struct map *infos = session_map(s, "tty infos");
	own_image struct image img = { .fd = -1 };
	ProtobufCMessage *m;
	int r = image_open(s, &img, MAGIC_TTY_INFO, "tty-info.img");

	if (r == 1)
		return session_fail(s, -EBADMSG, "image tty-info.img: is missing; the checkpoint is not whole");
	while (r == 0 && (r = image_read(&img, &tty_info_entry__descriptor, &m)) == 1) {
		map_put(infos, ((TtyInfoEntry *)m)->id, m);
		r = info_check(s, (TtyInfoEntry *)m);
	}
	return r < 0 ? r : read_data(s);
}

const TtyInfoEntry *tty_info(struct session *s, uint32_t id)
{
	struct map *infos = session_map(s, "tty infos");
	const TtyInfoEntry *e;

	if (!infos->n && read_all(s) < 0)
		return NULL;
	e = map_get(infos, id);
	if (!e)
		session_fail(s, -EBADMSG, "tty-info.img: terminal %u is missing", id);
	return e;
}

static const TtyInfoEntry *info_of(struct session *s, uint32_t line, bool master)
{
	const TtyInfoEntry *e = map_get(session_map(s, "tty infos"), tty_pty_id(line, master));

	return e && e->type == TTY_TYPE__PTY && e->pty->index == line % TTY_LINES ? e : NULL;
}

static void modes_of(struct tty_modes *m, const TermiosEntry *e)
{
	*m = (struct tty_modes){ .iflag = e->c_iflag, .oflag = e->c_oflag, .cflag = e->c_cflag,
				 .lflag = e->c_lflag, .line = e->c_line };
	for (int i = 0; i < TTY_CC; i++) /* packed: four to a number */
		m->cc[i] = e->c_cc[i / 4] >> i % 4 * 8;
}

/* ---- making ---- */

static dev_t devpts_dev(int fd)
{
	struct statfs fs;
	struct stat st;

	return fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC && fstat(fd, &st) == 0 ? st.st_dev : 0;
}

static int open_in(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int fd = fd_high(syscall(SYS_openat2, root, path, &how, sizeof(how)));

	return fd < 0 ? -errno : fd;
}

/* A node elsewhere stands for the devpts mounted beside it. */
int tty_ptmx(int root, dev_t *ret_dev)
{
	static const char *const names[] = { "/dev/ptmx", "/dev/pts/ptmx" };

	for (size_t i = 0; root >= 0 && i < ARRAY_SIZE(names); i++) {
		own_fd int pts = open_in(root, "/dev/pts");
		int fd = open_in(root, names[i]);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2)) {
			*ret_dev = devpts_dev(fd);
			if (!*ret_dev && pts >= 0)
				*ret_dev = devpts_dev(pts);
			return fd;
		}
		fd_close(fd);
	}
	return -ENOENT;
}

dev_t tty_devpts(const struct fd_view *v)
{
	own_fd int root = -1, pts = -1;
	own_mem char *dir = NULL;
	dev_t dev = devpts_dev(v->fd);

	if (dev || v->link[0] != '/')
		return dev;
	root = openat(v->task->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dir = xprintf("%.*s/pts", (int)(strrchr(v->link, '/') - v->link), v->link);
	pts = root < 0 ? -1 : open_in(root, dir);
	return pts < 0 ? 0 : devpts_dev(pts);
}

char *tty_devpts_path(struct session *s, const struct task *task, dev_t dev)
{
	uint32_t kdev = (uint32_t)major(dev) << 20 | (uint32_t)minor(dev);
	struct mnt_list all = { 0 };
	own_mem char *text = NULL;
	char *path = NULL;

	if (text_read(task->proc, "mountinfo", &text, NULL) == 0 && mnt_parse_flat(s, text, &all) == 0)
		for (size_t i = 0; i < all.n && !path; i++)
			if (all.v[i]->e->root_dev == kdev && !strcmp(all.v[i]->e->root, "/"))
				path = xstrdup(all.v[i]->e->mountpoint);
	mnt_free(&all);
	return path;
}

/* The ptmx node that a new terminal is made by. */
static int ptmx_open(struct session *s, const struct pair *p, dev_t *ret_dev)
{
	const TtyInfoEntry *e = p->master ? p->master : p->slave;
	int root = e && e->devpts ? ns_root_of(s, e->devpts_mnt_id) : ns_root_fd(s);
	own_mem char *name = NULL;
	int fd;

	if (!e || !e->devpts) {
		fd = tty_ptmx(root, ret_dev);
		return fd < 0 ? session_fail(s, fd, "terminals: there is no /dev/ptmx; mount devpts where the tasks run") : fd;
	}
	name = xprintf("%.4000s/ptmx", e->devpts);
	fd = root < 0 ? root : open_in(root, name);
	*ret_dev = fd < 0 ? 0 : devpts_dev(fd);
	if (fd >= 0 && *ret_dev)
		return fd;
	fd_close(fd);
	return session_fail(s, fd < 0 ? fd : -ENODEV, "terminal %u: there is no devpts at %s", p->index, e->devpts);
}

/* Those with a lower index are opened on the way, and closed again. */
int tty_master(int at, const char *name, uint32_t index)
{
	const int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
	struct {
		int *v;
		size_t n, max;
	} low = { 0 };
	int fd = -EBUSY;

	while (fd == -EBUSY && low.n <= index) {
		int got = name ? fd_high(openat(at, name, flags)) : fd_reopen(at, flags), have = -1;

		if (got < 0 || ioctl(got, TTY_GET_INDEX, &have) < 0 || have > (int)index) {
			fd = name && got < 0 ? -errno : got;
			if (got >= 0)
				fd = -EBUSY;
			fd_close(got);
			break;
		}
		if (have == (int)index)
			fd = got;
		else
			*vec_add(&low) = got;
	}
	for (size_t i = 0; i < low.n; i++)
		fd_close(low.v[i]);
	free(low.v);
	return fd;
}

static uint64_t made_key(dev_t dev, uint32_t index) { return (uint64_t)dev << 32 | (index + 1); }

void tty_made(struct session *s, uint32_t index, int fd)
{
	map_put(session_map(s, "tty made"), made_key(devpts_dev(fd), index), (void *)(intptr_t)(fd + 1));
}

static int master_open(struct session *s, const struct pair *p)
{
	dev_t dev = 0;
	own_fd int ptmx = ptmx_open(s, p, &dev);
	intptr_t made = (intptr_t)map_get(session_map(s, "tty made"), made_key(dev, p->index));
	int fd;

	if (ptmx < 0)
		return ptmx;
	if (made > TTY_TAKEN) {
		map_put(session_map(s, "tty made"), made_key(dev, p->index), (void *)TTY_TAKEN);
		return made - 1;
	}
	fd = tty_master(ptmx, NULL, p->index);
	if (fd == -EBUSY)
		return session_fail(s, fd, "terminal %u: the number is taken in this devpts; close that terminal, or use a devpts of its own",
				    p->index);
	return fd < 0 ? session_fail(s, fd, "terminal %u: make it", p->index) : fd;
}

/* Is the slave held by somebody in the image, or was it ever? */
static bool slave_wanted(struct session *s, const struct pair *p)
{
	const struct fd_obj *o;

	if ((p->master && (p->master->sid || p->master->slave_closed)) || !p->master)
		return true;
	if (map_get(session_map(s, "tty data"), tty_pty_id(p->line, false)) ||
	    map_get(session_map(s, "tty data"), tty_pty_id(p->line, true)))
		return true;
	for (size_t i = 0; (o = fd_obj_at(s, i)); i++)
		if (o->entry->tty && o->entry->tty->tty_info_id == tty_pty_id(p->line, false))
			return true;
	return false;
}

static int slave_open(struct session *s, struct pair *p)
{
	const TtyInfoEntry *e = p->slave ? p->slave : p->master;
	int unlock = 0;

	if (ioctl(p->fd, TTY_SET_LOCK, &unlock) < 0)
		return session_fail(s, -errno, "terminal %u: unlock it", p->index);
	if (!slave_wanted(s, p))
		return 0;
	p->peer = fd_high(ioctl(p->fd, TTY_PEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
	if (p->peer < 0)
		return session_fail(s, -errno, "terminal %u: open its slave", p->index);
	if (e->has_uid && e->has_gid && p->slave &&
	    fchown(p->peer, uid_out(s, e->uid), gid_out(s, e->gid)) < 0)
		return session_fail(s, -errno, "terminal %u: give it to user %u", p->index, e->uid);
	return fstat(p->peer, &p->st) < 0 ? session_fail(s, -errno, "terminal %u: stat", p->index) : 0;
}

/* Size before anybody could get a SIGWINCH, modes before anything is put in. */
static int modes_set(struct session *s, const struct pair *p)
{
	const TtyInfoEntry *e = p->master && p->master->winsize ? p->master : p->slave;
	struct winsize w;
	struct tty_modes m;

	if (!e || !e->termios)
		return 0;
	w = (struct winsize){ e->winsize->ws_row, e->winsize->ws_col, e->winsize->ws_xpixel,
			      e->winsize->ws_ypixel };
	modes_of(&m, e->termios);
	if (ioctl(p->fd, TIOCSWINSZ, &w) < 0 || ioctl(p->fd, TTY_SETS, &m) < 0)
		return session_fail(s, -errno, "terminal %u: set its size and modes", p->index);
	return 0;
}

/**
 * ctty_set - the leader of session e->sid takes the terminal behind fd, and sets its foreground group
 * Return: 0; 1 the kernel refused, with its errno in *why; -errno with the reason.
 */
static int ctty_set(struct session *s, const TtyInfoEntry *e, int fd, int *why)
{
	struct task *leader = task_find(s->tree, e->sid), *first = task_find(s->tree, e->pgrp);
	unsigned take, group;
	int32_t pgrp = e->pgrp ? e->pgrp : e->sid;
	struct batch b;
	int num, r;

	if (!leader || leader->state == TASK_DEAD || leader->sid != leader->vpid)
		return session_fail(s, -EBADMSG,
				    "tty-info.img: terminal %u is that of session %u, which no task leads",
				    e->id, e->sid);
	if (leader->pidns) /* it knows others by their numbers there */
		pgrp = !e->pgrp ? task_self(leader) : first ? task_number(first, leader->pidns) : 0;
	r = lend_fd(s, task_leader(leader), fd, &num);
	if (r < 0)
		return r;
	batch_start(s, &b, task_leader(leader));
	take = call3(&b, NULL, SYS_ioctl, num, TIOCSCTTY, 0);
	group = call3(&b, NULL, SYS_ioctl, num, TIOCSPGRP, batch_mem(&b, &pgrp, sizeof(pgrp), NULL));
	call1(&b, NULL, SYS_close, num);
	r = batch_run(&b);
	*why = batch_ret(&b, take) < 0 ? batch_ret(&b, take) : batch_ret(&b, group);
	return r < 0 ? r : *why < 0;
}

int tty_ctty(struct session *s, const TtyInfoEntry *e, int fd)
{
	struct map *done = session_map(s, "tty of sessions");
	int why = 0, r;

	if (!e->sid || map_get(done, e->sid))
		return 0;
	map_put(done, e->sid, s);
	r = ctty_set(s, e, fd, &why);
	if (r == 1)
		session_warn(s, "session %u: the terminal that takes the place of its controlling one cannot be that: %s",
			     e->sid, strerror(-why));
	return r < 0 ? r : 0;
}

static bool is_orphan(const struct pair *p)
{
	return !p->master && p->slave && p->slave->termios;
}

static bool hands_out(const struct session *s)
{
	return s->opts->has_orphan_pts_master && s->opts->orphan_pts_master;
}

static int keep_fd(struct session *s, uint32_t index, int fd)
{
	int copy = fd_high(fcntl(fd, F_DUPFD_CLOEXEC, 3));

	if (copy < 0)
		return session_fail(s, -errno, "terminal %u: keep its master", index);
	tty_made(s, index, copy);
	return 0;
}

static int pair_make(struct session *s, struct pair *p)
{
	const TtyInfoEntry *e = p->master && p->master->sid ? p->master : p->slave;
	int r, why = 0;

	p->fd = master_open(s, p);
	if (p->fd < 0)
		return p->fd;
	r = slave_open(s, p);
	if (r == 0)
		r = modes_set(s, p);
	if (r == 0 && is_orphan(p) && fcntl(p->fd, F_SETFL, O_RDWR) < 0)
		r = session_fail(s, -errno, "terminal %u: set its flags", p->index);
	if (r == 0 && is_orphan(p) && hands_out(s))
		r = session_notify(s, "orphan-pts-master", 0, p->fd);
	else if (r == 0 && is_orphan(p))
		r = keep_fd(s, p->index, p->fd);
	if (r == 0 && e && e->sid && (r = ctty_set(s, e, p->peer, &why)) == 1)
		r = session_fail(s, why, "terminal %u: make it that of session %u, foreground group %u",
				 p->index, e->sid, e->pgrp);
	session_debug(s, "terminal %u: made%s", p->index,
		      !is_orphan(p) ? "" : hands_out(s) ? ", its master is handed out" : ", its master is kept");
	return r;
}

static struct pair *pair_get(struct session *s, uint32_t line)
{
	struct map *pairs = session_map(s, "tty pairs");
	struct pair *p = map_get(pairs, line + 1);

	if (p)
		return p;
	p = xalloc(sizeof(*p));
	*p = (struct pair){ .line = line, .index = line % TTY_LINES, .fd = -1, .peer = -1, .master = info_of(s, line, true),
			    .slave = info_of(s, line, false) };
	map_put(pairs, line + 1, p);
	return pair_make(s, p) < 0 ? NULL : p;
}

/* By its name, if that leads to this slave: so the name shows as it did. */
static int slave_again(struct session *s, const struct pair *p, const TtyFileEntry *e)
{
	const FileEntry *reg = e->has_regf_id ? fd_entry(s, e->regf_id) : NULL;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int flags = (e->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC;
	own_fd int place = -1;
	struct stat st;

	if (reg && reg->reg && reg->reg->name[0] == '/' && ns_root_fd(s) >= 0)
		place = fd_high(syscall(SYS_openat2, ns_root_fd(s), reg->reg->name, &how, sizeof(how)));
	if (reg && reg->reg && reg->reg->has_mode && fchmod(p->peer, reg->reg->mode & 0777) < 0)
		return -errno;
	if (place >= 0 && fstat(place, &st) == 0 && st.st_dev == p->st.st_dev && st.st_ino == p->st.st_ino)
		return fd_reopen(place, flags);
	return fd_high(ioctl(p->fd, TTY_PEER, flags));
}

int tty_pair_open(struct session *s, const TtyFileEntry *e, const TtyInfoEntry *info, int *ret_fd)
{
	struct pair *p = pair_get(s, info->id / 2);
	int fd;

	if (!p)
		return s->why_r ? s->why_r : -EIO;
	if (info == p->master) {
		if (p->taken)
			return session_fail(s, -EBADMSG, "files.img: two files are the master of terminal %u",
					    p->index);
		p->taken = true;
		fd = fd_high(fcntl(p->fd, F_DUPFD_CLOEXEC, 3));
	} else {
		fd = slave_again(s, p, e);
	}
	if (fd < 0)
		return session_fail(s, fd == -1 ? -errno : fd, "terminal %u: open", p->index);
	*ret_fd = fd;
	return 0;
}

int tty_pair_ctty(struct session *s, uint32_t sid, int flags, int *ret_fd)
{
	const struct map *infos = session_map(s, "tty infos");
	struct task *leader = task_find(s->tree, sid);
	struct pair *p = NULL;
	struct batch b;
	unsigned n;
	int r;

	for (size_t i = 0; i < infos->max && !p; i++) {
		const TtyInfoEntry *e = infos->rows[i].value;

		if (e && e->type == TTY_TYPE__PTY && e->sid == sid && !(p = pair_get(s, e->id / 2)))
			return s->why_r;
	}
	if (!p || !leader)
		return session_fail(s, -EBADMSG, "tty-info.img: session %u has /dev/tty open and no terminal", sid);
	batch_start(s, &b, task_leader(leader));
	n = call4(&b, "terminal: open /dev/tty", SYS_openat, AT_FDCWD, batch_str(&b, "/dev/tty"),
		  (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY, 0);
	r = batch_run(&b);
	if (r < 0)
		return r;
	*ret_fd = fd_high(syscall(SYS_pidfd_getfd, leader->pidfd, batch_ret(&b, n), 0));
	r = *ret_fd < 0 ? session_fail(s, -errno, "terminal %u: take its /dev/tty", p->index) : 0;
	n = batch_ret(&b, n);
	batch_clear(&b);
	call1(&b, NULL, SYS_close, n);
	return batch_run(&b) < 0 ? -EIO : r;
}

/* ---- the end ---- */

static int data_put(struct session *s, const struct pair *p, const struct tty_modes *modes)
{
	for (int master = 0; master < 2; master++) {
		const TtyDataEntry *d = map_get(session_map(s, "tty data"), tty_pty_id(p->line, master));
		int r;

		if (!d || !d->data.len || p->peer < 0)
			continue;
		r = tty_put(p->fd, p->peer, master, modes, (char *)d->data.data, d->data.len);
		if (r < 0)
			return session_fail(s, r, "terminal %u: put %zu bytes back that waited in it",
					    p->index, d->data.len);
	}
	return 0;
}

static int state_set(struct session *s, const struct pair *p)
{
	struct tty_modes locked;
	int on = 1;

	if (p->master && p->master->termios_locked) {
		modes_of(&locked, p->master->termios_locked);
		if (ioctl(p->fd, TTY_SET_LOCKED, &locked) < 0)
			return session_fail(s, -errno, "terminal %u: lock its modes", p->index);
	}
	if ((p->master && p->master->packet_mode && ioctl(p->fd, TTY_PACKET, &on) < 0) ||
	    (p->master && p->master->locked && ioctl(p->fd, TTY_SET_LOCK, &on) < 0) ||
	    (p->master && p->master->exclusive && ioctl(p->fd, TIOCEXCL) < 0) ||
	    (p->peer >= 0 && p->slave && p->slave->exclusive && ioctl(p->peer, TIOCEXCL) < 0))
		return session_fail(s, -errno, "terminal %u: set its state", p->index);
	return 0;
}

/*
 * The master's descriptor is shared with its holder: writing does not block, as it was opened so; its
 * flags are set again after.
 */
int tty_pair_finish(struct session *s, uint32_t line)
{
	struct pair *p = map_get(session_map(s, "tty pairs"), line + 1);
	const TtyInfoEntry *e;
	struct tty_modes modes;
	int r = 0, flags;

	if (!p || p->finished)
		return 0;
	p->finished = true;
	e = p->master && p->master->termios ? p->master : p->slave;
	flags = fcntl(p->fd, F_GETFL);
	if (e && e->termios && !is_orphan(p)) { /* an orphan's flags are the receiver's now */
		fcntl(p->fd, F_SETFL, flags | O_NONBLOCK);
		modes_of(&modes, e->termios);
		r = data_put(s, p, &modes);
		fcntl(p->fd, F_SETFL, flags);
	}
	if (r == 0)
		r = state_set(s, p);
	fd_close(p->peer);
	fd_close(p->fd);
	return r;
}
