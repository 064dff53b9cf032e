// SPDX-License-Identifier: Apache-2.0
/*
 * load: one program with much of something, which checks itself all the time.
 *
 * Usage: load CASE N DIR. DIR/beat holds a number that grows, DIR/ready comes first; at SIGTERM it checks
 * itself a last time and writes OK, or what was wrong, to DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *dir;
static unsigned n;
static volatile sig_atomic_t term;
static char wrong[300];

static void say(const char *name, const char *text)
{
	char tmp[600], path[600];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s/.%s", dir, name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(3);
	close(fd);
	if (rename(tmp, path) < 0)
		_exit(3);
}

static void bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void bad(const char *fmt, ...)
{
	va_list ap;

	if (wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(wrong, sizeof(wrong), fmt, ap);
	va_end(ap);
}

static void beat(void)
{
	static unsigned long beats;
	char t[32];

	snprintf(t, sizeof(t), "%lu\n", ++beats);
	say("beat", t);
}

static void on_term(int sig)
{
	term = 1;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* ---- threads: pairs pass a number to and fro by futexes of libc; each has a thread variable ---- */

struct pair {
	pthread_mutex_t m;
	pthread_cond_t c;
	uint64_t turn;
};
static struct pair *pairs;
static __thread uint64_t own;
static _Atomic uint64_t turns;

static void *threads_one(void *arg)
{
	uintptr_t id = (uintptr_t)arg;
	struct pair *p = &pairs[id / 2];
	pid_t tid = gettid();

	own = id;
	for (;;) {
		pthread_mutex_lock(&p->m);
		while (p->turn % 2 != id % 2)
			pthread_cond_wait(&p->c, &p->m);
		p->turn++;
		pthread_cond_signal(&p->c);
		pthread_mutex_unlock(&p->m);
		if (own != id || syscall(SYS_gettid) != tid)
			bad("thread %lu is another", (unsigned long)id);
		atomic_fetch_add(&turns, 1);
		nap(20000000);
	}
	return NULL;
}

static void threads(void)
{
	pthread_attr_t a;
	uint64_t last = 0;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	pairs = calloc(n / 2 + 1, sizeof(*pairs));
	for (unsigned i = 0; i < n / 2 * 2; i++) {
		pthread_t t;

		if (i % 2 == 0) {
			pthread_mutex_init(&pairs[i / 2].m, NULL);
			pthread_cond_init(&pairs[i / 2].c, NULL);
		}
		if (pthread_create(&t, &a, threads_one, (void *)(uintptr_t)i))
			bad("thread %u: cannot be made", i);
	}
	say("ready", "");
	while (!term) {
		nap(50000000);
		if (atomic_load(&turns) != last)
			beat();
		last = atomic_load(&turns);
	}
	for (unsigned i = 0; i < n / 2; i++) { /* every pair still moves */
		uint64_t was = __atomic_load_n(&pairs[i].turn, __ATOMIC_RELAXED);

		for (int k = 0; k < 2000 && __atomic_load_n(&pairs[i].turn, __ATOMIC_RELAXED) == was; k++)
			nap(5000000);
		if (__atomic_load_n(&pairs[i].turn, __ATOMIC_RELAXED) == was)
			bad("pair %u stands still", i);
	}
}

/* ---- fds: pipes, sockets, events and files, each with its own number in it ---- */

static void fds(void)
{
	int *fd = calloc(n, sizeof(*fd));
	struct rlimit l = { n + 100, n + 100 };
	uint64_t round = 0;

	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		bad("setrlimit: %s", strerror(errno));
	for (unsigned i = 0; i + 1 < n; i += 2) {
		char path[600];

		switch (i / 2 % 4) {
		case 0:
			if (pipe2(fd + i, O_NONBLOCK) < 0)
				bad("pipe %u: %s", i, strerror(errno));
			break;
		case 1:
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd + i) < 0)
				bad("socketpair %u: %s", i, strerror(errno));
			break;
		case 2:
			fd[i] = eventfd(0, EFD_NONBLOCK);
			fd[i + 1] = dup(fd[i]);
			break;
		default:
			snprintf(path, sizeof(path), "%s/f%u", dir, i);
			fd[i] = open(path, O_RDWR | O_CREAT, 0600);
			fd[i + 1] = open(path, O_RDWR | O_APPEND);
		}
		if (fd[i] < 0 || fd[i + 1] < 0)
			bad("descriptor %u: %s", i, strerror(errno));
	}
	say("ready", "");
	for (; !term || round % 2; round++) { /* what one round writes the next one reads */
		for (unsigned i = 0; i + 1 < n; i += 2) {
			uint64_t v = i + 1 + round / 2 * 100000;

			if (round % 2 == 0 && write(fd[i + 1], &v, 8) != 8)
				bad("descriptor %u: write: %s", i, strerror(errno));
			if (round % 2 && (read(fd[i], &v, 8) != 8 || v != i + 1 + round / 2 * 100000))
				bad("descriptor %u: %lu read", i, (unsigned long)v);
		}
		beat();
		nap(10000000);
	}
}

/* ---- maps: mappings of one page of all sorts, with their number in them ---- */

static void maps(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char **at = calloc(n, sizeof(*at)), path[600];
	unsigned round = 0, i;
	int fd;

	snprintf(path, sizeof(path), "%s/mapped", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, page * (n + 1)) < 0)
		bad("%s: %s", path, strerror(errno));
	for (i = 0; i < n; i++) {
		int flags = i % 4 == 0 ? MAP_SHARED : MAP_PRIVATE;

		if (i % 4 > 1) /* neighbours would become one mapping */
			flags |= MAP_ANONYMOUS;
		at[i] = mmap(NULL, page * 2, PROT_READ | PROT_WRITE, flags, i % 4 > 1 ? -1 : fd,
			     i % 4 > 1 ? 0 : page * (off_t)i);
		if (at[i] == MAP_FAILED) {
			bad("mapping %u: %s", i, strerror(errno));
			return;
		}
		mprotect(at[i] + page, page, PROT_NONE);
		*(unsigned *)at[i] = i;
	}
	say("ready", "");
	do {
		for (i = 0; i < n; i++)
			if (*(unsigned *)at[i] != i + (i % 4 == 1 ? 0 : round) && i % 4 != 0)
				bad("mapping %u holds %u in round %u", i, *(unsigned *)at[i], round);
		round++;
		for (i = 0; i < n; i++)
			if (i % 4 != 1)
				*(unsigned *)at[i] = i + round;
		beat();
		nap(10000000);
	} while (!term);
}

/* ---- procs: children that stay; each echoes what comes through its socket ---- */

static void procs_child(int fd, unsigned i)
{
	uint32_t v;

	signal(SIGTERM, SIG_IGN);
	while (read(fd, &v, 4) == 4) {
		v = v * 3 + i;
		if (write(fd, &v, 4) != 4)
			break;
	}
	_exit(0);
}

static void procs(void)
{
	int *fd = calloc(n, sizeof(*fd));
	struct rlimit l = { n + 100, n + 100 };
	uint32_t round = 0;

	setrlimit(RLIMIT_NOFILE, &l);
	for (unsigned i = 0; i < n; i++) {
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
			bad("socketpair: %s", strerror(errno));
		fd[i] = sv[0];
		if (fork() == 0) {
			dup2(sv[1], 0);
			close_range(3, ~0U, 0);
			procs_child(0, i);
		}
		close(sv[1]);
	}
	say("ready", "");
	while (!term) {
		round++;
		for (unsigned i = 0; i < n; i++) {
			uint32_t v = round;

			if (write(fd[i], &v, 4) != 4 || read(fd[i], &v, 4) != 4 || v != round * 3 + i)
				bad("child %u answers %u", i, v);
		}
		beat();
		nap(10000000);
	}
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
	for (unsigned i = 0; i < n; i++)
		if (wait(NULL) < 0)
			bad("a child is missing");
}

/* ---- fork: N workers fork and reap all the time; some of the dead wait a while ---- */

static void fork_worker(void)
{
	for (volatile unsigned round = 0;; round++) { /* volatile: vfork() */
		int status, pfd[2];
		pid_t pid;
		char c = 0;

		if (pipe(pfd) < 0)
			_exit(1);
		pid = round % 3 == 0 ? vfork() : fork();
		if (pid < 0)
			_exit(2);
		if (pid == 0) {
			if (round % 3) { /* a grandchild, too: the tree changes at two levels */
				pid_t g = round % 3 == 1 ? fork() : 0;

				if (g > 0)
					waitpid(g, NULL, 0);
				if (write(pfd[1], "x", 1) != 1)
					_exit(9);
			} else if (write(pfd[1], "x", 1) != 1) {
				_exit(9);
			}
			_exit(round % 100);
		}
		if (round % 5 == 0)
			nap(1000000);
		if (read(pfd[0], &c, 1) != 1 || c != 'x')
			_exit(4);
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				_exit(5);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != round % 100)
			_exit(6);
		close(pfd[0]);
		close(pfd[1]);
		if (term)
			_exit(0);
	}
}

static void forks(void)
{
	for (unsigned i = 0; i < n; i++)
		if (fork() == 0)
			fork_worker();
	say("ready", "");
	while (!term) {
		int status;
		pid_t p = waitpid(-1, &status, WNOHANG);

		if (p > 0)
			bad("worker %d ended with %x", p, status);
		beat();
		nap(10000000);
	}
	kill(0, SIGTERM);
	for (unsigned i = 0; i < n; i++) {
		int status;

		while (wait(&status) < 0)
			if (errno != EINTR)
				break;
		if (status)
			bad("a worker ended with %x", status);
	}
}

/* ---- vfork: the parent hangs in vfork() while the child, in its memory, takes N milliseconds ---- */

static void vforks(void)
{
	static volatile uint64_t shared;
	volatile uint64_t rounds = 0;

	say("ready", "");
	while (!term) {
		int status = 0;
		pid_t pid = vfork();

		if (pid == 0) {
			for (unsigned i = 0; i < n; i++)
				nap(1000000);
			shared++;
			_exit(7);
		}
		rounds++;
		if (pid < 0 || shared != rounds)
			bad("vfork returned before its child was done");
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
			bad("vfork: the child ended with %x", status);
		beat();
	}
}

/* ---- signals: timers and children send; real-time signals are counted one by one ---- */

static _Atomic uint64_t got_usr, got_alarm, got_rt;
static volatile int rt_next = 1;

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	volatile double x = 1.5; /* the frame has the vector state in it */
	int e = errno;

	if (sig == SIGUSR1)
		atomic_fetch_add(&got_usr, 1);
	if (sig == SIGALRM)
		atomic_fetch_add(&got_alarm, 1);
	if (sig == SIGRTMIN) {
		if (info->si_code != SI_QUEUE || info->si_value.sival_int != rt_next)
			bad("signal %d came for %d", info->si_value.sival_int, rt_next);
		rt_next++;
		atomic_fetch_add(&got_rt, 1);
	}
	for (int i = 0; i < 20; i++)
		x *= 1.01;
	(void)x;
	errno = e;
}

static void signals_sender(pid_t to)
{
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int v = 1;;) {
		kill(to, SIGUSR1);
		if (sigqueue(to, SIGRTMIN, (union sigval){ .sival_int = v }) == 0)
			v++;
		if (v % 8 == 0)
			nap(200000);
	}
}

static void signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval it = { { 0, 500 }, { 0, 500 } };
	uint64_t a = 0, u = 0, rt = 0;
	double sum = 0;
	pid_t me = getpid();

	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	for (unsigned i = 0; i < n; i++)
		if (i == 0 && fork() == 0)
			signals_sender(me);
	setitimer(ITIMER_REAL, &it, NULL);
	say("ready", "");
	while (!term) {
		uint64_t na, nu, nr;

		for (int k = 0; k < 2000000 && !term; k++)
			sum = sum * 0.5 + k; /* registers that a handler must not touch */
		na = atomic_load(&got_alarm);
		nu = atomic_load(&got_usr);
		nr = atomic_load(&got_rt);
		if (na > a && nu > u && nr > rt)
			beat();
		a = na, u = nu, rt = nr;
	}
	if (!(sum < 1e9))
		bad("sum is %g", sum);
}

/* ---- pending: N signals wait for the process and N for its thread ---- */

static void pending(void)
{
	sigset_t rt;
	siginfo_t info;
	unsigned next[2] = { 0, 0 };

	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN);
	sigaddset(&rt, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &rt, NULL);
	for (unsigned i = 0; i < n; i++) {
		if (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }) < 0)
			bad("signal %u: %s", i, strerror(errno));
		if (pthread_sigqueue(pthread_self(), SIGRTMIN + 1, (union sigval){ .sival_int = i }))
			bad("signal %u: cannot be sent to the thread", i);
	}
	say("ready", "");
	while (!term) {
		beat();
		nap(10000000);
	}
	while (sigtimedwait(&rt, &info, &(struct timespec){ 0 }) > 0) {
		unsigned *want = &next[info.si_signo - SIGRTMIN];

		if (info.si_value.sival_int != (int)*want || info.si_code != SI_QUEUE)
			bad("signal %d came for %u", info.si_value.sival_int, *want);
		++*want;
	}
	if (next[0] != n || next[1] != n)
		bad("%u and %u signals came", next[0], next[1]);
}

/* ---- */

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "threads", threads }, { "fds", fds },	    { "maps", maps },	    { "procs", procs },
	{ "fork", forks },	{ "vfork", vforks }, { "signals", signals },
	{ "pending", pending },
};

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term, .sa_flags = SA_RESTART };

	if (argc != 4)
		return 2;
	n = atoi(argv[2]);
	dir = argv[3];
	setsid();
	sigaction(SIGTERM, &sa, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (!strcmp(cases[i].name, argv[1])) {
			cases[i].run();
			say("verdict", wrong[0] ? wrong : "OK");
			return 0;
		}
	return 2;
}
