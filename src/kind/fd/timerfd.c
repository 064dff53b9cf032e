// SPDX-License-Identifier: Apache-2.0
/*
 * timerfd: timers behind a descriptor.
 *
 * Kept:   clock, time that remains, interval, expirations not yet read, TFD_TIMER_ABSTIME and
 *         TFD_TIMER_CANCEL_ON_SET.
 * Lost:   an absolute timer keeps its remaining time, as the format has it, not its date; a pending
 *         ECANCELED.
 * Kernel: fs/timerfd.c; TFD_IOC_SET_TICKS.
 */
#include "kind/fd.h"

#include "base/res.h"
#include "base/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

#define SECONDS_MAX (1ULL << 33) /* the kernel's nanoseconds of 64 bits end there */

static bool timerfd_is(const struct fd_view *v)
{
	return !strcmp(v->link, "anon_inode:[timerfd]");
}

static int info_read(struct session *s, const struct fd_view *v, TimerfdEntry *e)
{
	own_mem char *info = NULL;
	uint64_t clock = 0, how = 0;
	int r = text_readf(AT_FDCWD, &info, "/proc/self/fdinfo/%d", v->fd);

	if (r == 0)
		r = text_u64(info, "clockid:", 10, &clock);
	if (r == 0)
		r = text_u64(info, "ticks:", 10, &e->ticks);
	if (r == 0)
		r = text_u64(info, "settime flags:", 8, &how);
	e->clockid = clock;
	e->settime_flags = how;
	return r < 0 ? session_fail(s, r, "timerfd 0x%x: read its state", v->id) : 0;
}

static int timerfd_dump(struct session *s, const struct fd_view *v)
{
	TimerfdEntry e = TIMERFD_ENTRY__INIT;
	struct itimerspec now;
	int r;

	/*
	 * A periodic timer whose expirations nobody has read stands still in the kernel. This call makes
	 * it catch up, as the next read would: fdinfo alone shows no remaining time then.
	 */
	if (timerfd_gettime(v->fd, &now) < 0)
		return session_fail(s, -errno, "timerfd 0x%x: read its time", v->id);
	r = info_read(s, v, &e);
	e.id = v->id;
	e.flags = v->flags;
	e.fown = v->fown;
	e.vsec = now.it_value.tv_sec;
	e.vnsec = now.it_value.tv_nsec;
	e.isec = now.it_interval.tv_sec;
	e.insec = now.it_interval.tv_nsec;
	return r < 0 ? r : fd_put(s, v, &e.base);
}

static int timerfd_restore(struct session *s, struct fd_obj *o)
{
	const TimerfdEntry *e = o->entry->tfd;

	if (!e || e->vsec > SECONDS_MAX || e->isec > SECONDS_MAX || e->vnsec > 999999999 ||
	    e->insec > 999999999)
		return session_fail(s, -EBADMSG, "files.img: timerfd 0x%x is damaged", o->id);
	o->fd = fd_high(timerfd_create(e->clockid, TFD_CLOEXEC));
	return o->fd < 0 ? session_fail(s, -errno, "timerfd 0x%x: make one of clock %u", o->id, e->clockid)
			 : 0;
}

/* Absolute timers are set by a date: what remains from now on. */
static int from_now(clockid_t clock, struct timespec *t)
{
	struct timespec now;

	/* alarm clocks show the time of their plain ones, which can always be read */
	clock = clock == CLOCK_REALTIME_ALARM	? CLOCK_REALTIME
		: clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
						: clock;
	if (clock_gettime(clock, &now) < 0)
		return -errno;
	t->tv_sec += now.tv_sec;
	t->tv_nsec += now.tv_nsec;
	if (t->tv_nsec > 999999999) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
	return 0;
}

/* Armed late, so that little time passes before the tasks run. */
static int timerfd_link(struct session *s, struct fd_obj *o)
{
	const TimerfdEntry *e = o->entry->tfd;
	struct itimerspec t = { .it_value = { e->vsec, e->vnsec }, .it_interval = { e->isec, e->insec } };
	bool armed = e->vsec || e->vnsec;
	int r = 0;

	/* expired, unread, written down without asking it: the next turn is at most an interval away */
	if (!armed && e->ticks && (e->isec || e->insec)) {
		t.it_value = t.it_interval;
		armed = true;
	}
	if (armed && (e->settime_flags & TFD_TIMER_ABSTIME))
		r = from_now(e->clockid, &t.it_value);
	/* a disarmed one is set too: it shows its flags and its interval */
	if (r == 0 && timerfd_settime(o->fd, e->settime_flags, &t, NULL) < 0)
		r = -errno;
	if (r == 0 && e->ticks && ioctl(o->fd, TFD_IOC_SET_TICKS, &e->ticks) < 0)
		r = -errno;
	return r < 0 ? session_fail(s, r, "timerfd 0x%x: set its time", o->id) : 0;
}

const struct fd_kind fd_kind_timerfd = {
	.name = "timerfd",
	.type = FD_TYPES__TIMERFD,
	.is = timerfd_is,
	.dump = timerfd_dump,
	.restore = timerfd_restore,
	.link = timerfd_link,
};
