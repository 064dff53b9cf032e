// SPDX-License-Identifier: Apache-2.0
/*
 * time: offsets of the monotonic and the boot clock.
 *
 * Kept:   what the clocks showed; they go on from there. Tasks that had no time namespace get one, so
 *         that theirs go on too (timens-0.img, written by ns-dump.c). Nested ones, also one that only children will
 *         be in.
 * Lost:   nothing.
 * Kernel: /proc/PID/timens_offsets: offsets against the clocks of the first time namespace, of the
 *         namespace that children are born in; writable until somebody is in it. Linux 5.6.
 */
#include "kind/ns.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "images/timens.pb-c.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <time.h>

#define SECOND 1000000000LL
#define CLOCK_MAX (INT64_MAX / SECOND / 2) /* seconds; the kernel's limit */

/** time_dump - timens-N.img; Source: clock_gettime() in the namespace; Units: s and ns since boot */
static int time_dump(struct session *s, const struct ns *ns)
{
	struct timespec mono, boot;
	Timespec m = TIMESPEC__INIT, b = TIMESPEC__INIT;
	TimensEntry e = TIMENS_ENTRY__INIT;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	m.tv_sec = mono.tv_sec;
	m.tv_nsec = mono.tv_nsec;
	b.tv_sec = boot.tv_sec;
	b.tv_nsec = boot.tv_nsec;
	e.monotonic = &m;
	e.boottime = &b;
	session_debug(s, "time namespace %u: monotonic %" PRIu64 " s, boot %" PRIu64 " s", ns->id,
		      m.tv_sec, b.tv_sec);
	return image_write_one(s, MAGIC_TIMENS, &e.base, "timens-%u.img", ns->id);
}

/* Our own offset against the first namespace; 0 if the line is not there. Units: ns. */
static int64_t offset_of(const char *text, const char *clock)
{
	const char *p = text_after(text, clock);
	long long sec = 0, ns = 0;

	return p && sscanf(p, "%lld %lld", &sec, &ns) == 2 ? sec * SECOND + ns : 0;
}

static int64_t offset_for(const Timespec *stored, clockid_t clock, int64_t ours)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)stored->tv_sec * SECOND + (int64_t)stored->tv_nsec -
	       (now.tv_sec * SECOND + now.tv_nsec) + ours;
}

/* "monotonic SEC NSEC": nanoseconds are never negative. */
static char *offset_line(const char *clock, int64_t v)
{
	int64_t sec = v / SECOND, ns = v % SECOND;

	if (ns < 0) {
		ns += SECOND;
		sec--;
	}
	return xprintf("%s %" PRId64 " %" PRId64 "\n", clock, sec, ns);
}

/* Source: the file shows the offsets of the namespace that children will be born in, or of our own if there is none. */
static int time_lines(struct session *s, const struct ns *ns, const TimensEntry *e, char **ret)
{
	own_mem char *old = NULL, *mono = NULL, *boot = NULL;
	int r;

	if (e->monotonic->tv_sec > CLOCK_MAX || e->boottime->tv_sec > CLOCK_MAX ||
	    e->monotonic->tv_nsec >= SECOND || e->boottime->tv_nsec >= SECOND)
		return session_fail(s, -EBADMSG, "timens-%u.img: a clock is out of range", ns->id);
	r = text_read(ns_proc(s), "self/timens_offsets", &old, NULL);
	if (r < 0)
		return session_fail(s, r, "time namespace %u: read our offsets", ns->id);
	mono = offset_line("monotonic", offset_for(e->monotonic, CLOCK_MONOTONIC,
						   offset_of(old, "monotonic")));
	boot = offset_line("boottime", offset_for(e->boottime, CLOCK_BOOTTIME,
						  offset_of(old, "boottime")));
	*ret = xprintf("%s%s", mono, boot);
	return 0;
}

static int time_offsets(struct session *s, const struct ns *ns, char **ret)
{
	TimensEntry *e = NULL;
	int r = image_read_one(s, MAGIC_TIMENS, &timens_entry__descriptor, (ProtobufCMessage **)&e,
			       "timens-%u.img", ns->id);

	if (r < 0)
		return r;
	r = time_lines(s, ns, e, ret);
	timens_entry__free_unpacked(e, NULL);
	return r;
}

static int time_made(struct session *s, const struct ns *ns, const struct task *k)
{
	own_mem char *lines = NULL;
	int r = time_offsets(s, ns, &lines);

	if (r < 0)
		return r;
	r = text_write(k->proc, "timens_offsets", lines);
	return r < 0 ? session_fail(s, r, "time namespace %u: set its offsets", ns->id) : 0;
}

const struct ns_kind ns_kind_time = {
	.name = "time",
	.flag = CLONE_NEWTIME,
	.dump = time_dump,
	.offsets = time_offsets,
	.made = time_made,
};
