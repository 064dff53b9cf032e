// SPDX-License-Identifier: Apache-2.0
/*
 * kin: sessions and groups whose leaders are dead, orphans adopted by a subreaper, zombies, stopped tasks.
 * Usage: kin CASE DIR. DIR/ready appears when all is set up; on SIGTERM the root says "OK" or what differs in
 * DIR/verdict.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIN 16

struct one {
	char name[24];
	pid_t pid, ppid, pgid, sid;
	char state;
};
struct shared {
	volatile int n;
	struct one all[KIN];
};

static struct shared *sh;
static char why[400];

static void put(const char *name, const char *text)
{
	int fd = open("new", O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (write(fd, text, strlen(text)) < 0)
		perror("write");
	close(fd);
	rename("new", name);
}

static void sleep_on(void)
{
	for (;;)
		pause();
}

/* as /proc sees it */
static struct one look(pid_t pid)
{
	struct one o = { .pid = pid };
	char path[40], line[400] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fgets(line, sizeof(line), f) && (p = strrchr(line, ')')))
		sscanf(p + 2, "%c %d %d %d", &o.state, &o.ppid, &o.pgid, &o.sid);
	if (f)
		fclose(f);
	return o;
}

static void enroll(const char *name, pid_t pid)
{
	struct one *o = &sh->all[__atomic_fetch_add(&sh->n, 1, __ATOMIC_SEQ_CST)];

	o->pid = pid;
	snprintf(o->name, sizeof(o->name), "%s", name);
}

static void me(const char *name)
{
	enroll(name, getpid());
	sleep_on();
}

/* A new group (or session) whose leader leaves two members and ends; its parent reaps it, or does not. */
static void dead_leader(const char *name, int session, int reap)
{
	pid_t leader = fork();

	if (leader == 0) {
		if (session)
			setsid();
		else
			setpgid(0, 0);
		if (fork() == 0)
			me(name);
		if (fork() == 0) {
			if (session)
				setpgid(0, 0); /* a group of its own in the session of a dead one */
			me(name);
		}
		_exit(5);
	}
	if (reap)
		waitpid(leader, NULL, 0);
	else
		enroll("zombie leader", leader);
}

/* A subreaper with an orphan whose parents are gone, two generations of them. */
static void orphanage(void)
{
	int s;

	if (fork() != 0)
		return;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (fork() == 0) {
		if (fork() == 0) {
			if (fork() == 0) {
				me("orphan");
			}
			_exit(0);
		}
		wait(&s);
		_exit(0);
	}
	wait(&s);
	me("subreaper");
}

static void zombie(const char *name, int by_signal)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (by_signal)
			kill(getpid(), SIGKILL);
		_exit(42);
	}
	enroll(name, pid);
}

static void stopped(void)
{
	pid_t pid = fork();

	if (pid == 0)
		sleep_on();
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	enroll("stopped", pid);
}

static void judge(void)
{
	for (int i = 0; i < sh->n; i++) {
		struct one was = sh->all[i], is = look(was.pid);

		if (is.state != was.state || is.ppid != was.ppid || is.pgid != was.pgid || is.sid != was.sid)
			if (!why[0])
				snprintf(why, sizeof(why), "%s %d: state %c parent %d group %d session %d, was %c %d %d %d",
					 was.name, was.pid, is.state, is.ppid, is.pgid, is.sid, was.state, was.ppid, was.pgid,
					 was.sid);
	}
	for (int i = 0; i < sh->n; i++) {
		struct one *o = &sh->all[i];
		int status = -1;

		if (strncmp(o->name, "zombie", 6) || o->ppid != getpid())
			continue;
		if (waitpid(o->pid, &status, 0) != o->pid ||
		    (strstr(o->name, "signal") ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL
					       : WEXITSTATUS(status) != (strstr(o->name, "leader") ? 5 : 42)))
			snprintf(why, sizeof(why), "%s: wait status %x", o->name, status);
	}
}

int main(int argc, char **argv)
{
	sigset_t set;
	int sig;

	chdir(argv[2]);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	dead_leader("group of a dead one", 0, 1);
	dead_leader("session of a dead one", 1, 1);
	dead_leader("group of a zombie", 0, 0);
	dead_leader("session of a zombie", 1, 0);
	orphanage();
	zombie("zombie", 0);
	zombie("zombie by signal", 1);
	stopped();
	while (sh->n < 15)
		usleep(1000);
	usleep(100000); /* until all sleep: nothing tells when the last one does */
	for (int i = 0; i < sh->n; i++) {
		struct one o = look(sh->all[i].pid);

		memcpy(o.name, sh->all[i].name, sizeof(o.name));
		sh->all[i] = o;
	}
	put("ready", "");
	while (sigwait(&set, &sig) != 0)
		;
	judge();
	put("verdict", why[0] ? why : "OK");
	for (int i = 0; i < sh->n; i++)
		kill(sh->all[i].pid, SIGKILL);
	return 0;
}
