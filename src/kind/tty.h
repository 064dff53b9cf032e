/* SPDX-License-Identifier: Apache-2.0 */
/* tty: what both halves of the tty kind know: names of images, states of a terminal line. */
#ifndef KIND_TTY_H
#define KIND_TTY_H

#include "images/tty.pb-c.h"
#include "kind/fd.h"

#define TTY_CC 19
#define PTY_INDEX_MAX 1000 /* ids of other terminals begin behind it */
#define TTY_QUEUE 4095 /* bytes that a line discipline has processed and holds */
#define TTY_DATA_MAX (1u << 20)

/* the kernel's struct termios, which is not the C library's */
struct tty_modes {
	uint32_t iflag, oflag, cflag, lflag;
	unsigned char line, cc[TTY_CC];
};
enum tty_ioctl {
	TTY_GETS = 0x5401, TTY_SETS = 0x5402, TTY_GET_LOCKED = 0x5456, TTY_SET_LOCKED = 0x5457,
	TTY_GET_PACKET = (int)0x80045438, TTY_GET_LOCK = (int)0x80045439, TTY_GET_EXCL = (int)0x80045440,
	TTY_GET_INDEX = (int)0x80045430, TTY_SET_LOCK = 0x40045431, TTY_PEER = 0x5441, TTY_PACKET = 0x5420, TTY_TYPE_IN = 0x5412, TTY_GET_DEV = (int)0x80045432,
};

/*
 * A terminal's line is its index, of those in the n-th devpts besides that of /dev/ptmx n * TTY_LINES more. An id is that
 * of one side of a line.
 */
#define TTY_LINES 65536u
#define TTY_DEVPTS_MAX 1000u

static inline uint32_t tty_pty_id(uint32_t line, bool master)
{
	return 2 * line + master;
}

/**
 * tty_put - make data wait on one side, unchanged
 * @on_master: which side; what waits on the master was written into the slave
 * @final: the modes to leave behind
 */
int tty_put(int master, int slave, bool on_master, const struct tty_modes *final, const char *data,
	    size_t n);
/** tty_key - the key of a terminal that the caller passes in its place: "tty[rdev:dev]" */
void tty_key(char buf[40], uint64_t rdev, uint64_t dev);

/* restore, tty-pair.c */

/**
 * tty_master - a master with that very index
 * @at: an open ptmx node (name NULL), or the directory where name is one
 * Return: a descriptor, -EBUSY the index is taken, -errno.
 */
int tty_master(int at, const char *name, uint32_t index);
/**
 * tty_made - a master that was made early, as its slave is mounted somewhere; owned from here
 * In map "tty made" by the file system of the node that it was made by, and index: the descriptor + 1, or TTY_TAKEN
 * when a pair has taken it over.
 */
#define TTY_TAKEN 1L
void tty_made(struct session *s, uint32_t index, int fd);

/** tty_pair_open - descriptor of ours for one file of a pair: its master, or its slave opened anew */
int tty_pair_open(struct session *s, const TtyFileEntry *e, const TtyInfoEntry *info, int *ret_fd);
/** tty_pair_ctty - open /dev/tty as the session sid sees it; its terminal is made if it is not yet */
int tty_pair_ctty(struct session *s, uint32_t sid, int flags, int *ret_fd);
/** tty_ctty - make a terminal that the caller passed the session's own; reported if it cannot be */
int tty_ctty(struct session *s, const TtyInfoEntry *e, int fd);
/** tty_pair_finish - all files are open: data, modes; our own ends go */
int tty_pair_finish(struct session *s, uint32_t line);
/** tty_ptmx - the ptmx node below a root directory: O_PATH, or -errno; ret_dev: its devpts, 0 not known */
int tty_ptmx(int root, dev_t *ret_dev);
/** tty_devpts - dump: the devpts that a master's node belongs to, or 0 */
dev_t tty_devpts(const struct fd_view *v);
/** tty_devpts_path - dump: where the task sees that devpts, owned by the caller; NULL nowhere */
char *tty_devpts_path(struct session *s, const struct task *task, dev_t dev);
/**
 * tty_keep - before the tasks are let go: masters of the container's own terminals that were held outside
 * of the tree go to a process that holds them until the root task ends
 */
int tty_keep(struct session *s);
/** tty_devpts_own - dump: is the devpts of this slave one of the container's own, which is made anew? */
bool tty_devpts_own(struct session *s, const struct fd_view *v);
/** tty_kept - restore: is e a slave whose master will be kept so? */
bool tty_kept(struct session *s, const TtyInfoEntry *e);
/** tty_info - of the image, by id; NULL with the reason */
const TtyInfoEntry *tty_info(struct session *s, uint32_t id);

#endif
