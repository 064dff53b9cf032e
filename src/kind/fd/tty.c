// SPDX-License-Identifier: Apache-2.0
/*
 * tty: pseudo-terminals, both sides; /dev/tty; terminals that the caller passes in from outside.
 *
 * Kept:   index, devpts, modes and locked modes, window size, owner and mode of the slave, packet mode, lock and
 *         exclusive mode, data waiting on both sides, session and foreground group, sides that were
 *         closed or hung up.
 * Lost:   a pending status byte of packet mode, ^S, which of the NUL bytes waiting in line mode were an
 *         end of file; what waits in a terminal whose other side is outside of the tree.
 *         There is no way to look at waiting data: it is read and written back at once.
 * Kernel: drivers/tty/pty.c, n_tty.c, tty_jobctrl.c; "tty-index" in fdinfo; tty_nr and tpgid in
 *         /proc/PID/stat.
 */
#include "kind/ghost.h"
#include "kind/tty.h"

#include "base/list.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/ids.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define CTTY_ID (2 * 1006)    /* /dev/tty */
#define CTTY_MORE 20000	      /* of more than one session: behind all others */
#define EXTERNAL_ID (2 * 1012)

enum what { MASTER, SLAVE, CTTY, OTHER };

/* one side of a terminal, as its info will be written */
struct side {
	TtyInfoEntry e;
	TtyPtyEntry pty;
	TermiosEntry modes, locked;
	WinsizeEntry size;
	uint32_t cc[2][TTY_CC];
	int64_t index; /* of a pseudo-terminal, or -1 */
	dev_t devpts;  /* that it is in; 0: not known */
	int fd;	       /* ours */
};
struct sides {
	struct side **v;
	size_t n, max;
	uint32_t n_others;
	struct map others; /* devpts besides that of /dev/ptmx: struct devpts */
};

/* a devpts of which /dev/ptmx does not make terminals */
struct devpts {
	uint32_t number; /* 0: none of the tasks' own, or none at all */
	char *path;
	uint32_t mnt_id;
};

static enum what what_of(dev_t dev)
{
	unsigned maj = major(dev);

	return maj >= 136 && maj <= 143	   ? SLAVE
	       : dev == makedev(5, 2) ? MASTER
	       : dev == makedev(5, 0) ? CTTY
				      : OTHER;
}

/* from the kernel's number */
static dev_t dev_of(unsigned n)
{
	return makedev(n >> 8 & 0xfff, (n & 0xff) | (n >> 12 & 0xfff00));
}

static int slave_index(dev_t dev)
{
	return (major(dev) - 136) * 256 + minor(dev);
}

static bool tty_is(const struct fd_view *v)
{
	unsigned maj = major(v->st.st_rdev);

	return S_ISCHR(v->st.st_mode) && !(v->flags & O_PATH) &&
	       (maj == 4 || maj == 5 || (maj >= 136 && maj <= 143) || maj == 229 /* hvc */ || maj == 204);
}

/* -1: no pseudo-terminal, or one that was hung up */
static int64_t index_of(const struct fd_view *v)
{
	unsigned dev;
	int64_t n;

	if (what_of(v->st.st_rdev) == SLAVE)
		return slave_index(v->st.st_rdev);
	if (what_of(v->st.st_rdev) == CTTY)
		return ioctl(v->fd, TTY_GET_DEV, &dev) == 0 && what_of(dev_of(dev)) == SLAVE ? slave_index(dev_of(dev)) : -1;
	return text_i64(v->info, "tty-index:", 10, &n) == 0 && n >= 0 ? n : -1;
}

static bool is_external(struct session *s, const struct fd_view *v)
{
	char key[40];

	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)v->st.st_rdev,
		 (unsigned long long)v->st.st_dev);
	return external_find(s, "tty", key) != NULL;
}

static bool is_hung_up(const struct fd_view *v)
{
	struct tty_modes m;

	return ioctl(v->fd, TTY_GETS, &m) < 0;
}

/* ---- whose other side is where? ---- */

static void masters_of(struct map *found, const struct task *k)
{
	int fd = k->state == TASK_DEAD ? -1 : openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		own_mem char *path = xprintf("fd/%s", e->d_name), *info = NULL;
		own_mem char *in = xprintf("fdinfo/%s", e->d_name);
		uint64_t n;
		struct stat st;

		if (e->d_name[0] != '.' && fstatat(k->proc, path, &st, 0) == 0 && S_ISCHR(st.st_mode) &&
		    what_of(st.st_rdev) == MASTER && text_read(k->proc, in, &info, NULL) == 0 &&
		    text_u64(info, "tty-index:", 10, &n) == 0)
			map_put(found, n + 1, found);
	}
	for (const struct task *c = k->first_child; c; c = c->next)
		masters_of(found, c);
}

/* Has a task of the tree the master of that index? Looked up once while they run, once when stopped. */
static bool master_inside(struct session *s, const struct task *k, int64_t index)
{
	struct map *found = session_map(s, s->tree ? "tty masters" : "tty masters, running");

	if (!map_get(found, 0)) {
		while (k->parent)
			k = k->parent;
		map_put(found, 0, found);
		masters_of(found, k);
	}
	return map_get(found, index + 1) != NULL;
}

static bool may_be_orphan(const struct session *s)
{
	return (s->opts->has_shell_job && s->opts->shell_job) ||
	       (s->opts->has_orphan_pts_master && s->opts->orphan_pts_master);
}

static int tty_preflight(struct session *s, const struct fd_view *v)
{
	int64_t index = index_of(v);
	char key[40];

	tty_key(key, v->st.st_rdev, v->st.st_dev);
	if (is_external(s, v))
		return 0;
	if (index < 0)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is the terminal %s, which is no pseudo-terminal; to replace it at restore, use --external '%s'",
				    v->task->vpid, v->num, v->link, key);
	if (index > PTY_INDEX_MAX)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is terminal %d; terminals above %d cannot be checkpointed",
				    v->task->vpid, v->num, (int)index, PTY_INDEX_MAX);
	if (what_of(v->st.st_rdev) != MASTER && !is_hung_up(v) && !may_be_orphan(s) &&
	    !master_inside(s, v->task, index) &&
	    !(what_of(v->st.st_rdev) == SLAVE && tty_devpts_own(s, v)))
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d is terminal %s, whose other side is outside of the tree; use --shell-job to have the restorer's terminal in its place, or --external '%s' to pass one in",
				    v->task->vpid, v->num, v->link, key);
	return 0;
}

/* ---- dump ---- */

static struct sides *sides(struct session *s)
{
	return session_state(s, "tty sides", sizeof(struct sides));
}

static struct side *side_find(struct session *s, uint32_t id)
{
	for (size_t i = 0; i < sides(s)->n; i++)
		if (sides(s)->v[i]->e.id == id)
			return sides(s)->v[i];
	return NULL;
}

static void termios_entry_of(TermiosEntry *e, const struct tty_modes *m, uint32_t *cc)
{
	termios_entry__init(e);
	e->c_iflag = m->iflag;
	e->c_oflag = m->oflag;
	e->c_cflag = m->cflag;
	e->c_lflag = m->lflag;
	e->c_line = m->line;
	for (int i = 0; i < TTY_CC; i++)
		cc[i / 4] |= (uint32_t)m->cc[i] << i % 4 * 8;
	e->n_c_cc = TTY_CC;
	e->c_cc = cc;
}

/* What the kernel says of a side; a slave that was hung up says nothing. */
static void side_modes(struct side *d, int fd)
{
	struct tty_modes m, locked;
	struct winsize w;
	int on;

	if (ioctl(fd, TTY_GETS, &m) < 0 || ioctl(fd, TTY_GET_LOCKED, &locked) < 0 ||
	    ioctl(fd, TIOCGWINSZ, &w) < 0)
		return;
	termios_entry_of(&d->modes, &m, d->cc[0]);
	termios_entry_of(&d->locked, &locked, d->cc[1]);
	winsize_entry__init(&d->size);
	d->size.ws_row = w.ws_row;
	d->size.ws_col = w.ws_col;
	d->size.ws_xpixel = w.ws_xpixel;
	d->size.ws_ypixel = w.ws_ypixel;
	d->e.termios = &d->modes;
	d->e.termios_locked = &d->locked;
	d->e.winsize = &d->size;
	d->e.exclusive = ioctl(fd, TTY_GET_EXCL, &on) == 0 && on;
	d->e.locked = ioctl(fd, TTY_GET_LOCK, &on) == 0 && on;
	d->e.packet_mode = ioctl(fd, TTY_GET_PACKET, &on) == 0 && on;
}

static bool peer_closed(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static struct side *side_new(struct session *s, const struct fd_view *v, uint32_t id, TtyType type)
{
	struct side *d = xalloc(sizeof(*d));

	tty_info_entry__init(&d->e);
	d->e.id = id;
	d->e.type = type;
	d->e.rdev = v->st.st_rdev;
	d->e.has_dev = true;
	d->e.dev = v->st.st_dev;
	d->e.uid = uid_in(s, v->st.st_uid);
	d->e.gid = gid_in(s, v->st.st_gid);
	/* one that came from outside may be nobody's inside: whoever passes it in again has given it */
	d->e.has_uid = d->e.has_gid = d->e.uid != ID_NONE && d->e.gid != ID_NONE;
	d->index = index_of(v);
	d->fd = fd_high(fcntl(v->fd, F_DUPFD_CLOEXEC, 3));
	side_modes(d, v->fd);
	if (type == TTY_TYPE__PTY) {
		tty_pty_entry__init(&d->pty);
		d->pty.index = index_of(v);
		d->e.pty = &d->pty;
	}
	if (what_of(v->st.st_rdev) == MASTER)
		d->e.has_slave_closed = d->e.slave_closed = peer_closed(v->fd);
	*vec_add(sides(s)) = d;
	return d;
}

/* Index of the terminal of a session that k leads, or -1; its foreground group, a real id. */
static int64_t terminal_of(const struct task *k, int *ret_group)
{
	own_mem char *stat = NULL;
	int tty = 0;
	char *p;

	if (k->state == TASK_DEAD || k->sid != k->vpid || text_read(k->proc, "stat", &stat, NULL) < 0)
		return -1;
	p = strrchr(stat, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %d %d", &tty, ret_group) != 2 ||
	    what_of(dev_of(tty)) != SLAVE)
		return -1;
	return slave_index(dev_of(tty));
}

/* Has k a slave of that index open, in the devpts dev? 1 yes, -1 only in others, 0 none at all */
static int has_slave(const struct task *k, int64_t index, dev_t dev)
{
	int fd = k->state == TASK_DEAD ? -1 : openat(k->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int found = 0;

	while (d && (e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, 0) < 0 || !S_ISCHR(st.st_mode) ||
		    what_of(st.st_rdev) != SLAVE || slave_index(st.st_rdev) != index)
			continue;
		if (st.st_dev == dev)
			return 1;
		found = -1;
	}
	return found;
}

/*
 * Every devpts counts its terminals from 0, and /proc tells a session's by number only: what its tasks
 * have open says which one it is. dev 0: whichever.
 */
static bool is_of_devpts(const struct session *s, const struct task *leader, int64_t index, dev_t dev)
{
	int seen = dev ? has_slave(leader, index, dev) : 1;

	for (size_t i = 0; seen == 0 && i < s->tree->n; i++)
		if (s->tree->all[i]->sid == leader->vpid)
			seen = has_slave(s->tree->all[i], index, dev);
	return seen >= 0;
}

/* The session whose terminal has that index, and its foreground group: virtual ids. */
static bool session_of(const struct session *s, int64_t index, dev_t dev, uint32_t *sid, uint32_t *group)
{
	for (size_t i = 0; i < s->tree->n; i++) {
		int real = 0;

		if (terminal_of(s->tree->all[i], &real) != index ||
		    !is_of_devpts(s, s->tree->all[i], index, dev))
			continue;
		*sid = s->tree->all[i]->vpid;
		*group = 0;
		for (size_t n = 0; n < s->tree->n && real > 0; n++)
			if (s->tree->all[n]->pid > 0 && getpgid(s->tree->all[n]->pid) == real)
				*group = s->tree->all[n]->pgid;
		return true;
	}
	return false;
}

static dev_t main_devpts(const struct session *s)
{
	own_fd int root = openat(s->tree->root->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dev_t dev = 0;
	own_fd int ptmx = tty_ptmx(root, &dev);

	return ptmx < 0 ? 0 : dev;
}

/* What is known of that devpts; terminals from outside, whose devpts the tasks do not see, count as of the first. */
static const struct devpts *devpts_get(struct session *s, const struct fd_view *v, dev_t dev)
{
	struct map *others = &sides(s)->others;
	struct devpts *p = map_get(others, dev);

	if (p)
		return p;
	p = xalloc(sizeof(*p));
	map_put(others, dev, p);
	if (dev && dev != main_devpts(s))
		p->path = tty_devpts_path(s, v->task, dev);
	if (p->path) {
		p->number = ++sides(s)->n_others;
		p->mnt_id = ghost_mount(ghost_home(s, v->task, v->fd), v->fd);
	}
	return p;
}

/* The id of what v is a descriptor of; its side is noted when new. */
static int side_of(struct session *s, const struct fd_view *v, uint32_t *ret_id)
{
	enum what what = what_of(v->st.st_rdev);
	int64_t index = index_of(v);
	TtyType type = TTY_TYPE__PTY;
	dev_t dev = what == SLAVE ? v->st.st_dev : what == MASTER ? tty_devpts(v) : 0;
	const struct devpts *pts = devpts_get(s, v, is_external(s, v) ? 0 : dev);
	uint32_t id = tty_pty_id(index + pts->number * TTY_LINES, what == MASTER), sid, group;
	struct side *d;

	if (pts->number > TTY_DEVPTS_MAX)
		return session_fail(s, -ENOTSUP, "task %d: descriptor %d: more than %u devpts file systems have terminals that are open",
				    v->task->vpid, v->num, TTY_DEVPTS_MAX);
	if (is_external(s, v)) {
		type = TTY_TYPE__EXT_TTY;
		id = EXTERNAL_ID;
		while ((d = side_find(s, id)) && (d->e.rdev != v->st.st_rdev || d->e.dev != v->st.st_dev))
			id += 2;
	} else if (what == CTTY) {
		type = TTY_TYPE__CTTY;
		if (!session_of(s, index, 0, &sid, &group))
			sid = 0; /* the session is outside */
		id = CTTY_ID;
		while ((d = side_find(s, id)) && d->e.sid != sid)
			id = id == CTTY_ID ? CTTY_MORE : id + 2;
	}
	d = side_find(s, id);
	if (d && type == TTY_TYPE__PTY && d->e.dev != v->st.st_dev && what == SLAVE)
		return session_fail(s, -ENOTSUP,
				    "task %d: descriptor %d: terminals %d of two devpts file systems are open; that cannot be checkpointed yet",
				    v->task->vpid, v->num, (int)index);
	if (!d) {
		d = side_new(s, v, id, type);
		d->devpts = dev;
		if (type == TTY_TYPE__PTY && pts->number) {
			d->e.devpts = pts->path;
			d->e.devpts_mnt_id = pts->mnt_id;
			d->e.has_devpts_mnt_id = pts->mnt_id > 0;
		}
		if (type == TTY_TYPE__CTTY)
			d->e.sid = sid;
	}
	*ret_id = id;
	return 0;
}

/* The path, informative: at restore it is used only if it leads to the right terminal. */
static int path_put(struct session *s, const struct fd_view *v, uint32_t *ret_id)
{
	RegFileEntry e = REG_FILE_ENTRY__INIT;
	own_mem char *name = xstrdup(v->link);
	char *cut = strstr(name, " (deleted)");

	if (cut)
		*cut = 0;
	e.id = *ret_id = fd_new_id(s);
	e.flags = v->flags;
	e.fown = v->fown;
	e.name = name;
	e.has_mode = true;
	e.mode = v->st.st_mode;
	return fd_put_id(s, FD_TYPES__REG, e.id, &e.base);
}

static int tty_dump(struct session *s, const struct fd_view *v)
{
	TtyFileEntry e = TTY_FILE_ENTRY__INIT;
	int r = tty_preflight(s, v);

	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.has_regf_id = true;
	if (r == 0)
		r = side_of(s, v, &e.tty_info_id);
	if (r == 0)
		r = path_put(s, v, &e.regf_id);
	return r < 0 ? r : fd_put(s, v, &e.base);
}

/* ---- dump: data that waits ---- */

/* Everything that can be read without waiting. */
static int drain(int fd, char **ret, size_t *ret_n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	int have = 0;

	while (n < TTY_DATA_MAX && poll(&p, 1, 0) == 1 && (p.revents & POLLIN) &&
	       ioctl(fd, FIONREAD, &have) == 0 && have > 0) {
		ssize_t got;

		*ret = xgrow(*ret, n + have);
		got = read(fd, *ret + n, have);
		if (got <= 0)
			return got < 0 ? -errno : 0;
		n += got;
		*ret_n = n;
	}
	return 0;
}

static int data_write(struct session *s, uint32_t id, char *data, size_t n)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;
	struct image *img = n ? image_shared(s, MAGIC_TTY_DATA, "tty-data.img") : NULL;

	if (!n)
		return 0;
	e.tty_id = id;
	e.data.data = (uint8_t *)data;
	e.data.len = n;
	return img ? image_write(img, &e.base) : s->why_r;
}

/* Read one side and put it back through the other; modes are the slave's as found. */
static int side_data(struct session *s, uint32_t id, int master, int slave, const struct tty_modes *modes)
{
	struct tty_modes raw = *modes;
	own_mem char *data = NULL;
	size_t n = 0;
	int r, back;

	raw.iflag = raw.oflag = raw.lflag = 0;
	raw.cc[5] = raw.cc[6] = 0; /* VTIME, VMIN: never wait */
	if (ioctl(slave, TTY_SETS, &raw) < 0)
		return session_fail(s, -errno, "terminal %u: set its modes", id / 2 % TTY_LINES);
	r = drain(id % 2 ? master : slave, &data, &n);
	back = tty_put(master, slave, id % 2, modes, data, n);
	if (back < 0)
		session_warn(s, "terminal %u: some of the %zu bytes that wait in it could not be put back",
			     id / 2 % TTY_LINES, n);
	return r < 0 ? session_fail(s, r, "terminal %u: read what waits in it", id / 2)
		     : data_write(s, id, data, n);
}

static int pair_data(struct session *s, const struct side *m)
{
	const struct side *d = side_find(s, m->e.id - 1);
	own_fd int slave = -1;
	struct tty_modes modes;
	struct stat st;
	int off = 0, on = 1, flags = fcntl(m->fd, F_GETFL), have = 0, r;

	if (ioctl(m->fd, TTY_GETS, &modes) < 0)
		return session_fail(s, -errno, "terminal %u: read its modes", m->pty.index);
	if (!d && !(m->e.slave_closed && ioctl(m->fd, FIONREAD, &have) == 0 && have > 0))
		return 0;
	/* an open file of our own, whatever the access mode of the task's */
	slave = fd_high(ioctl(m->fd, TTY_PEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
	if (d && slave >= 0 && fstat(slave, &st) == 0 && (uint32_t)st.st_dev != d->e.dev)
		return session_fail(s, -ENOTSUP,
				    "terminal %u: is open in two devpts file systems; that cannot be checkpointed yet",
				    m->pty.index);
	if (d && slave < 0) /* locked */
		slave = fd_reopen(d->fd, O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (slave < 0)
		return session_fail(s, slave < -1 ? slave : -errno, "terminal %u: open its slave", m->pty.index);
	if (m->e.packet_mode)
		ioctl(m->fd, TTY_PACKET, &off);
	fcntl(m->fd, F_SETFL, flags | O_NONBLOCK); /* nobody runs; set back below */
	r = side_data(s, m->e.id, m->fd, slave, &modes);
	if (r == 0 && d)
		r = side_data(s, d->e.id, m->fd, slave, &modes);
	fcntl(m->fd, F_SETFL, flags);
	if (m->e.packet_mode)
		ioctl(m->fd, TTY_PACKET, &on);
	return r;
}

/* Is a side of that terminal in the images, by which the session gets it again? */
static bool side_of_index(struct session *s, int64_t index)
{
	for (size_t i = 0; i < sides(s)->n; i++)
		if (sides(s)->v[i]->index == index && sides(s)->v[i]->e.type != TTY_TYPE__CTTY)
			return true;
	return false;
}

/* Sessions that have a terminal which nobody in the tree has open. */
static void sessions_report(struct session *s)
{
	for (size_t i = 0; i < s->tree->n; i++) {
		int group;
		int64_t index = terminal_of(s->tree->all[i], &group);

		if (index >= 0 && !side_of_index(s, index))
			session_warn(s, "session %d: nobody in the tree has its terminal /dev/pts/%d open; the session will have none",
				     s->tree->all[i]->vpid, (int)index);
	}
}

/* The devpts of a terminal; a master's node may be that of another one. 0: not known */
static dev_t slave_dev(struct session *s, const struct side *d)
{
	bool master = d->e.type == TTY_TYPE__PTY && d->e.id % 2;
	const struct side *slave = master ? side_find(s, d->e.id - 1) : d;

	return slave ? slave->e.dev : d->devpts;
}

static int tty_dump_end(struct session *s)
{
	struct sides *all = sides(s);
	struct image *img = all->n ? image_shared(s, MAGIC_TTY_INFO, "tty-info.img") : NULL;
	int r = all->n && !img ? s->why_r : 0;

	for (size_t i = 0; r == 0 && i < all->n; i++) {
		struct side *d = all->v[i];
		bool pty = d->e.type == TTY_TYPE__PTY, master = pty && d->e.id % 2;

		if (pty ? master || !side_find(s, d->e.id + 1) : d->index >= 0 && d->e.type != TTY_TYPE__CTTY)
			session_of(s, d->index, slave_dev(s, d), &d->e.sid, &d->e.pgrp);
		if (d->e.type == TTY_TYPE__CTTY && d->e.sid && !side_of_index(s, d->index))
			return session_fail(s, -ENOTSUP,
					    "session %u: has its terminal open as /dev/tty only, and the other side is outside of the tree; keep a descriptor of it",
					    d->e.sid);
		r = image_write(img, &d->e.base);
		if (r == 0 && master)
			r = pair_data(s, d);
	}
	sessions_report(s);
	for (size_t i = 0; i < all->n; i++)
		fd_close(all->v[i]->fd);
	if (r == 0)
		r = image_shared_end(s, "tty-info.img");
	return r < 0 ? r : image_shared_end(s, "tty-data.img");
}

/* ---- restore ---- */

static int borrow(struct session *s, struct fd_obj *o, const TtyInfoEntry *info, int fd, const char *what)
{
	o->borrowed = true;
	o->fd = fd_high(fcntl(fd, F_DUPFD_CLOEXEC, 3));
	session_info(s, "file 0x%x: %s is replaced by our descriptor %d", o->id, what, fd);
	return o->fd < 0 ? session_fail(s, -errno, "%s: take descriptor %d", what, fd)
			 : tty_ctty(s, info, o->fd);
}

/* The terminal we were started on: another open file of it, or what we have. */
static int own_terminal(struct session *s, struct fd_obj *o, const TtyInfoEntry *info, const char *key)
{
	for (int fd = 0; fd < 3; fd++)
		if (isatty(fd)) {
			int r = fd_reopen(fd, (o->entry->tty->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY);

			if (r < 0)
				return borrow(s, o, info, fd, key);
			o->fd = r;
			return tty_ctty(s, info, r);
		}
	return session_fail(s, -ENOTTY,
			    "file 0x%x: is a terminal whose other side was outside of the tree; restore it from a terminal (--shell-job), or pass one in: --inherit-fd 'fd[N]:%s'",
			    o->id, key);
}

static bool tty_orphan(struct session *s, const TtyInfoEntry *e)
{
	const struct map *infos = session_map(s, "tty infos");

	return e->type == TTY_TYPE__PTY && !(e->id % 2) && e->termios && !map_get(infos, e->id + 1);
}

static int tty_restore(struct session *s, struct fd_obj *o)
{
	const TtyFileEntry *e = o->entry->tty;
	const TtyInfoEntry *info = e ? tty_info(s, e->tty_info_id) : NULL;
	bool shell = s->opts->has_shell_job && s->opts->shell_job;
	bool hand_out = s->opts->has_orphan_pts_master && s->opts->orphan_pts_master;
	char key[40];
	int fd;

	if (!info)
		return e ? s->why_r : session_fail(s, -EBADMSG, "files.img: terminal 0x%x is damaged", o->id);
	tty_key(key, info->rdev, info->has_dev ? info->dev : 0);
	fd = inherit_find(s, key);
	if (fd >= 0)
		return borrow(s, o, info, fd, key);
	if (info->type == TTY_TYPE__CTTY && info->sid)
		return tty_pair_ctty(s, info->sid, e->flags, &o->fd);
	if (info->type == TTY_TYPE__CTTY || (tty_orphan(s, info) && !hand_out && shell))
		return own_terminal(s, o, info, key);
	if (info->type != TTY_TYPE__PTY || (tty_orphan(s, info) && !hand_out && !tty_kept(s, info)))
		return session_fail(s, -EINVAL,
				    "file 0x%x: is a terminal from outside of the tree; pass one in with --inherit-fd 'fd[N]:%s'%s",
				    o->id, key,
				    tty_orphan(s, info) ? ", or use --shell-job to have the one you are on" : "");
	return tty_pair_open(s, e, info, &o->fd);
}

static int tty_link(struct session *s, struct fd_obj *o)
{
	const TtyInfoEntry *info = tty_info(s, o->entry->tty->tty_info_id);

	return info && info->type == TTY_TYPE__PTY ? tty_pair_finish(s, info->id / 2) : 0;
}

const struct fd_kind fd_kind_tty = {
	.name = "terminal",
	.type = FD_TYPES__TTY,
	.is = tty_is,
	.dump = tty_dump,
	.dump_end = tty_dump_end,
	.restore = tty_restore,
	.link = tty_link,
	.preflight = tty_preflight,
};
