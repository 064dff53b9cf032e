// SPDX-License-Identifier: Apache-2.0
/*
 * unix-urgent: where urgent data is in a stream.
 *
 * Kernel: net/unix/af_unix.c, manage_oob(): the byte has a place in the queue, at which a read ends that began
 * before it. A read also ends behind a message with descriptors, and at another sender's data when the receiver asks
 * who sends (SO_PASSCRED), so that the place can be told only where neither may be. SIOCATMARK tells of the first.
 */
#include "kind/unix-urgent.h"

#include "base/res.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SCM_ROOM 2048 /* for 253 descriptors */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

static int option(int fd, int name, int without)
{
	int v = without;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, name, &v, &n) < 0 ? without : v;
}

static void descriptors_close(struct cmsghdr *c)
{
	int fds[SCM_ROOM / sizeof(int)];
	size_t n = c->cmsg_len - CMSG_LEN(0);

	memcpy(fds, CMSG_DATA(c), n);
	for (size_t i = 0; i < n / sizeof(int); i++)
		fd_close(fds[i]);
}

/* Bytes that one look shows; -1: it may have ended for another reason than the mark. */
static ssize_t look_length(int fd, char *buf, size_t max)
{
	char control[SCM_ROOM] __attribute__((aligned(16)));
	struct iovec io = { buf, max };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			descriptors_close(c);
		n = -1;
	}
	return n;
}

int unix_urgent_look(int fd, struct unix_urgent *ret)
{
	struct pollfd ask = { .fd = fd, .events = POLLPRI };
	own_mem char *buf = NULL;
	int at_mark = 0, total = 0;
	ssize_t n;

	*ret = (struct unix_urgent){ .any = poll(&ask, 1, 0) == 1 && ask.revents & POLLPRI };
	if (!ret->any)
		return 0;
	if (option(fd, SO_PEEK_OFF, -1) >= 0 || ioctl(fd, SIOCATMARK, &at_mark) < 0 || ioctl(fd, FIONREAD, &total) < 0)
		return -ENOTSUP;
	if (at_mark) {
		ret->hidden = !option(fd, SO_OOBINLINE, 0);
		return !ret->hidden || recv(fd, &ret->byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) == 1 ? 0 : -ENOTSUP;
	}
	if (option(fd, SO_PASSCRED, 0) || option(fd, SO_PASSPIDFD, 0))
		return -ENOTSUP;
	buf = xalloc(total + 1);
	n = look_length(fd, buf, total + 1);
	ret->at = n;
	return n > 0 && n < total ? 0 : -ENOTSUP;
}
